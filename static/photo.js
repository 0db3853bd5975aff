// One photo: arrow keys go to its neighbours, Escape back to where one came from, and a label shows where it is seen.
const photo = document.querySelector(".photo");
const inField = (node) => node.closest("input, textarea, select, [contenteditable]");

// Neighbours take this page's place in the history, so that one step back is the very place in the timeline - when the
// visitor came from there, which the depth of the history tells.
const cameFrom = document.referrer && new URL(document.referrer);
if (cameFrom?.origin === location.origin && cameFrom.pathname === "/photos") sessionStorage.depth = history.length;

function go(link) {
  const home = sessionStorage.depth == history.length && history.length < 50;
  if (!link.matches(".close")) location.replace(link.href);
  else if (home) history.back();
  else location.assign(link.href);
}

document.addEventListener("keydown", (event) => {
  if (event.defaultPrevented || event.altKey || event.ctrlKey || event.metaKey || event.shiftKey || inField(event.target)) return;
  const where = { ArrowLeft: ".newer", ArrowRight: ".older", Escape: ".close" }[event.key];
  const link = where && photo.querySelector(where);
  if (!link) return;
  event.preventDefault();
  go(link);
});

photo.addEventListener("click", (event) => {
  const link = event.target.closest(".stage nav a");
  if (!link || event.ctrlKey || event.metaKey || event.shiftKey) return;
  event.preventDefault();
  go(link);
});

// A label's boxes are shown while the pointer or the focus is on it.
for (const kind of ["pointerover", "pointerout", "focusin", "focusout"]) {
  photo.addEventListener(kind, ({ target, type }) => {
    const label = target.closest("#labels li")?.dataset.label;
    if (!label) return;
    photo.querySelector(`.boxes [data-label="${label}"]`)?.classList.toggle("on", type === "pointerover" || type === "focusin");
  });
}

// A finger's stroke across the picture turns to the neighbour.
let start = null;
photo.addEventListener("touchstart", ({ touches, target }) => {
  start = touches.length === 1 && target.closest(".stage") && visualViewport.scale === 1 ? touches[0] : null;
}, { passive: true });
photo.addEventListener("touchend", ({ changedTouches: [end] }) => {
  if (!start) return;
  const [x, y] = [end.clientX - start.clientX, end.clientY - start.clientY];
  if (Math.abs(x) > 60 && Math.abs(x) > 2 * Math.abs(y)) {
    const link = photo.querySelector(x > 0 ? ".newer" : ".older");
    if (link) go(link);
  }
  start = null;
}, { passive: true });

// A changed description keeps its button in sight, and Ctrl+Enter saves it.
const form = photo.querySelector(".describe");
form.addEventListener("input", ({ target }) => form.classList.toggle("changed", target.value !== target.defaultValue));
form.addEventListener("submit", () => form.classList.remove("changed"));
addEventListener("beforeunload", (event) => {
  if (form.classList.contains("changed")) event.preventDefault();
});
form.addEventListener("keydown", (event) => {
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) form.requestSubmit();
});

// What asks whether to delete comes into sight when it opens.
const confirmation = photo.querySelector("details.delete");
confirmation?.addEventListener("toggle", () => confirmation.open && confirmation.scrollIntoView({ block: "nearest" }));
