// Keeps the page as it is at the server: on each change it asks for itself
// again and takes over the parts marked data-live. Without it, reload.
"use strict";
(() => {
  const from = document.body.dataset.liveFrom;
  const light = document.getElementById("live");
  if (!from || !window.EventSource) return;
  let asking = false, again = false;

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

  const refresh = async () => {
    if (asking) { again = true; return; }
    asking = true;
    try {
      const answer = await fetch(location.href, { credentials: "same-origin" });
      if (answer.redirected && new URL(answer.url).pathname === "/login") { location.reload(); return; }
      if (!answer.ok) return;
      const page = new DOMParser().parseFromString(await answer.text(), "text/html");
      document.title = page.title;
      for (const part of document.querySelectorAll("[data-live]")) {
        const fresh = page.getElementById(part.id);
        if (fresh && !inUse(part) && fresh.outerHTML !== part.outerHTML) take(part, fresh);
      }
    } finally {
      setTimeout(() => { asking = false; if (again) { again = false; refresh(); } }, 300);
    }
  };

  const source = new EventSource(from);
  source.addEventListener("changed", refresh);
  source.onopen = () => { light.textContent = "live"; light.className = "live on"; };
  source.onerror = () => { light.textContent = "not live"; light.className = "live off"; };
  setInterval(refresh, 30000); // ages
})();
