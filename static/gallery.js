// The timeline grows downwards as one scrolls, and takes in new photos at its top without a reload.

// Beyond this many photos the link to older ones starts a fresh page, so that memory stays bounded.
const MOST = 3000;

let timeline = document.querySelector(".timeline");
let link = document.querySelector(".more a");
let loading = false;

async function page(url) {
  const answer = await fetch(url, { headers: { Accept: "text/html" } });
  if (!answer.ok || answer.redirected) throw new Error(answer.statusText); // A redirect leads to sign in.
  return new DOMParser().parseFromString(await answer.text(), "text/html");
}

// Days join days of the same date; tiles that are there already stay as they are.
function merge(days) {
  const shown = [];
  for (const day of days) {
    const here = [...timeline.children].find((d) => d.dataset.date <= day.dataset.date);
    if (here?.dataset.date !== day.dataset.date) {
      timeline.insertBefore(day, here ?? null);
      shown.push(day);
      continue;
    }
    const list = here.querySelector(".tiles");
    const known = new Map([...list.children].map((tile) => [tile.dataset.id, tile]));
    let next = null;
    for (const tile of [...day.querySelectorAll(".tile")].reverse()) {
      const there = known.get(tile.dataset.id);
      if (!there) {
        list.insertBefore(tile, next);
        shown.push(tile);
      }
      next = there ?? tile;
    }
  }
  document.dispatchEvent(new CustomEvent("photos:shown", { detail: shown }));
}

async function older() {
  if (loading || !link) return;
  loading = true;
  link.textContent = "Loading older photos…";
  try {
    const more = await page(link.href);
    merge(more.querySelectorAll(".day"));
    const next = more.querySelector(".more a");
    link.textContent = "Older photos";
    if (next) link.href = next.href;
    else link.parentElement.remove();
    if (!next || timeline.querySelectorAll(".tile").length >= MOST) link = null;
  } catch {
    link.textContent = "Older photos could not be loaded. Try again";
    return; // The link still works by hand.
  } finally {
    loading = false;
  }
  watch();
}

// Three screens ahead, so that what comes is laid out before it is seen. Observing anew reports at once whether the end is
// still near, for screens taller than a page.
const end = new IntersectionObserver((seen) => seen.some((s) => s.isIntersecting) && older(), { rootMargin: "300%" });
function watch() {
  end.disconnect();
  if (link) end.observe(link);
}

// The first photos of an empty gallery: the page becomes what the server shows now, but the form that uploads stays.
function begin(fresh) {
  const menu = fresh.querySelector("details.add");
  if (!menu) return;
  menu.querySelector("form").replaceWith(document.getElementById("add"));
  document.querySelector(".bar > .button").replaceWith(menu);
  const main = document.querySelector("main");
  main.replaceChildren(...fresh.querySelector("main").children);
  timeline = main.querySelector(".timeline");
  link = main.querySelector(".more a");
  document.dispatchEvent(new CustomEvent("photos:shown", { detail: [main] }));
  watch();
}

document.addEventListener("photos:added", async () => {
  if (!document.querySelector(".timeline[data-newest], .welcome .upload")) return;
  try {
    const fresh = await page("/photos");
    if (timeline) merge(fresh.querySelectorAll(".day"));
    else begin(fresh);
  } catch {
    // They stand in the panel of uploads with their links, and here at the next visit.
  }
});

// Left and right walk through the photos as Tab does; up and down go to the nearest of the next row.
document.addEventListener("keydown", (event) => {
  const step = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -1, ArrowDown: 1 }[event.key];
  const from = event.target.closest(".tile a");
  if (!step || !from || event.altKey || event.ctrlKey || event.metaKey) return;
  const all = [...timeline.querySelectorAll(".tile a")];
  let to = all.indexOf(from) + step;
  if (event.key === "ArrowUp" || event.key === "ArrowDown") {
    const box = from.getBoundingClientRect();
    const away = (a) => Math.abs(a.left + a.width / 2 - box.left - box.width / 2);
    let row = null, best = null;
    for (; all[to]; to += step) {
      const there = all[to].getBoundingClientRect();
      if (step * (there.top - box.top) < 2) continue;
      row ??= there.top;
      if (Math.abs(there.top - row) > 2) break;
      if (best === null || away(there) < away(all[best].getBoundingClientRect())) best = to;
    }
    to = best ?? -1;
  }
  if (!all[to]) return;
  event.preventDefault();
  all[to].focus();
});

// Back from a photo: as much of the timeline as there was, up to ten pages, at the same place.
const tiles = () => timeline.querySelectorAll(".tile").length;
async function comeBack() {
  const left = JSON.parse(sessionStorage.getItem("timeline"));
  if (left?.url !== location.href || performance.getEntriesByType("navigation")[0]?.type !== "back_forward") return;
  for (let page = 0; page < 9 && link && tiles() < left.tiles; page++) await older();
  scrollTo({ top: left.top, behavior: "instant" });
}

addEventListener("pagehide", () => {
  if (timeline) sessionStorage.setItem("timeline", JSON.stringify({ url: location.href, tiles: tiles(), top: scrollY }));
});
if (timeline) comeBack().finally(watch);
