// Keeps "What to expect" in step with what is typed.
"use strict";
(() => {
  const form = document.getElementById("register");
  const expect = document.getElementById("expect");
  if (!form || !expect) return;
  let waiting = 0;
  let asked = 0;

  async function look() {
    const mine = ++asked;
    const data = new FormData(form);
    data.append("look", "typing");
    try {
      const answer = await fetch(form.action, { method: "POST", body: new URLSearchParams(data), redirect: "error" });
      if (!answer.ok || mine !== asked) return;
      const page = new DOMParser().parseFromString(await answer.text(), "text/html");
      const fresh = page.getElementById("expect");
      if (fresh && fresh.innerHTML !== expect.innerHTML) expect.replaceChildren(...fresh.childNodes);
    } catch {
      // What stands there stays; the form itself still works.
    }
  }

  form.addEventListener("input", () => {
    clearTimeout(waiting);
    waiting = setTimeout(look, 400);
  });
})();
