// Keeps the page as it is at the server: on each change it asks for itself
// again and takes over the parts marked data-live; of what is being done now, it
// asks for that part only. Without it, reload.
"use strict";
(() => {
  const from = document.body.dataset.liveFrom;
  const nowFrom = document.body.dataset.nowFrom;
  const light = document.getElementById("live");
  if (!from || !window.EventSource) return;

  // A part in which somebody writes, or chooses, is left alone.
  const inUse = (part) => {
    const at = document.activeElement;
    if (at && part.contains(at) && /^(INPUT|TEXTAREA|SELECT)$/.test(at.tagName)) return true;
    return [...part.querySelectorAll("textarea, input:not([type=hidden])")].some((f) => f.value !== f.defaultValue);
  };

  const take = (part, fresh) => {
    const open = new Set([...part.querySelectorAll("details")].map((d, i) => (d.open ? i : -1)));
    const focus = document.activeElement && part.contains(document.activeElement) ? document.activeElement.id : "";
    const next = document.importNode(fresh, true);
    next.querySelectorAll("details").forEach((d, i) => { d.open = open.has(i); });
    part.replaceWith(next);
    if (focus) document.getElementById(focus)?.focus();
  };

  // asker asks for a page, or a part of one, and takes over what it has of ours.
  const asker = (address) => {
    let asking = false, again = false;
    return async function ask() {
      if (asking) { again = true; return; }
      asking = true;
      try {
        const answer = await fetch(address, { credentials: "same-origin" });
        if (answer.redirected && new URL(answer.url).pathname === "/login") { location.reload(); return; }
        if (!answer.ok) return;
        const page = new DOMParser().parseFromString(await answer.text(), "text/html");
        if (page.title) document.title = page.title;
        for (const part of document.querySelectorAll("[data-live]")) {
          const fresh = page.getElementById(part.id);
          if (fresh && !inUse(part) && fresh.outerHTML !== part.outerHTML) take(part, fresh);
        }
      } finally {
        setTimeout(() => { asking = false; if (again) { again = false; ask(); } }, 300);
      }
    };
  };
  const refresh = asker(location.href);

  const source = new EventSource(from);
  source.addEventListener("changed", refresh);
  if (nowFrom) {
    const look = asker(nowFrom);
    source.addEventListener("progress", look);
    setInterval(() => { if (document.getElementById("now")?.childElementCount) look(); }, 5000); // ages
  }
  source.onopen = () => { light.textContent = "live"; light.className = "live on"; };
  source.onerror = () => { light.textContent = "not live"; light.className = "live off"; };
  setInterval(refresh, 30000); // ages
})();
