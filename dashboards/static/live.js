// Keeps a page current: asks for its live parts every two seconds, by ETag, and swaps what differs.
"use strict";
(() => {
  const EVERY = 2000;
  const address = document.body.querySelector("[data-live-from]")?.dataset.liveFrom;
  const times = () => {
    const now = Date.now();
    for (const time of document.querySelectorAll("time[data-ago]")) {
      time.textContent = ago((now - Date.parse(time.dateTime)) / 1000);
    }
  };

  function ago(seconds) {
    if (seconds < 5) return "just now";
    if (seconds < 90) return `${Math.round(seconds)} s ago`;
    if (seconds < 5400) return `${Math.round(seconds / 60)} min ago`;
    if (seconds < 172800) return `${Math.round(seconds / 3600)} h ago`;
    return `${Math.round(seconds / 86400)} days ago`;
  }

  times();
  setInterval(times, 1000);
  if (!address) return;

  let tag = null;
  let lastGood = Date.now();
  const banner = document.getElementById("away");

  function swap(text) {
    const fresh = new DOMParser().parseFromString(text, "text/html");
    for (const part of fresh.querySelectorAll("[data-live]")) {
      const old = document.getElementById(part.id);
      if (!old || old.innerHTML === part.innerHTML) continue;
      const focused = old.contains(document.activeElement) ? document.activeElement.id : "";
      const open = [...old.querySelectorAll("details[open][id]")].map((d) => d.id);
      const scrolled = [...old.querySelectorAll(".scroll[id]")].map((s) => [s.id, s.scrollTop]);
      old.replaceChildren(...part.childNodes);
      for (const id of open) document.getElementById(id)?.setAttribute("open", "");
      for (const [id, top] of scrolled) {
        const box = document.getElementById(id);
        if (box) box.scrollTop = top;
      }
      if (focused) document.getElementById(focused)?.focus({ preventScroll: true });
    }
    times();
    document.dispatchEvent(new Event("crossfade:swapped"));
  }

  function away(why) {
    if (!banner) return;
    const since = Math.round((Date.now() - lastGood) / 1000);
    banner.querySelector("[data-why]").textContent = `${why} What you see is ${since} s old.`;
    banner.hidden = false;
  }

  async function look() {
    try {
      const answer = await fetch(address, {
        headers: tag ? { "If-None-Match": tag } : {},
        cache: "no-store",
        redirect: "manual",
        signal: AbortSignal.timeout(10000),
      });
      if (answer.status === 200) {
        tag = answer.headers.get("ETag");
        swap(await answer.text());
      } else if (answer.type === "opaqueredirect" || answer.status === 401) {
        location.reload();
        return;
      } else if (answer.status !== 304) {
        away(answer.status === 503 ? "The controller cannot reach its database." : `The controller answered ${answer.status}.`);
        return;
      }
      lastGood = Date.now();
      if (banner) banner.hidden = true;
    } catch {
      away("The controller cannot be reached.");
    }
  }

  async function forever() {
    if (!document.hidden) await look();
    setTimeout(forever, EVERY);
  }
  setTimeout(forever, EVERY);
  document.addEventListener("visibilitychange", () => {
    if (!document.hidden) look();
  });
})();
