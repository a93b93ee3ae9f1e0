// Opens the page that asks for a reason in a dialog above this one. Without it, the link is simply followed.
"use strict";
(() => {
  const dialog = document.getElementById("asking");
  if (!dialog?.showModal) return;

  document.addEventListener("click", async (event) => {
    const link = event.target.closest("a[data-asks]");
    if (!link || event.ctrlKey || event.metaKey || event.shiftKey || event.button) return;
    event.preventDefault();
    try {
      const answer = await fetch(link.href, { redirect: "error" });
      if (!answer.ok) throw new Error(String(answer.status));
      const page = new DOMParser().parseFromString(await answer.text(), "text/html");
      const form = page.getElementById("ask");
      if (!form) throw new Error("no form");
      dialog.replaceChildren(document.adoptNode(form));
      dialog.showModal();
      dialog.querySelector("textarea, input:not([type=hidden])")?.focus();
    } catch {
      location.href = link.href;
    }
  });

  dialog.addEventListener("click", (event) => {
    const cancel = event.target.closest("[data-cancel]");
    if (event.target === dialog || cancel) {
      event.preventDefault();
      dialog.close();
    }
  });
})();
