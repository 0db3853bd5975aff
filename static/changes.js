// Photos that are on their way are followed until they are there: the server tells as it happens, by events; where that cannot be
// had, it is asked now and then. Nothing is followed while nobody looks, so that other tabs have the connections.
const [SOONEST, LATEST] = [2000, 15000]; // ms between two questions
const EVENTS_AGAIN = 60_000; // ms after a refusal of events
const TOGETHER = 250; // ms within which new photos are followed together
const AT_ONCE = 100; // photos that one page may ask for
const TURN = 15_000; // ms for which some of too many photos are followed before others are

const waiting = new Map(); // elements by the ids of their photos
let [source, timer, pause, refused] = [null, 0, SOONEST, 0];

const underway = (state) => state === "stored" || state === "labelling";

function collect(roots) {
  const before = waiting.size;
  for (const root of roots)
    for (const photo of [root, ...root.querySelectorAll("[data-state]")])
      if (underway(photo.dataset?.state)) waiting.set(photo.dataset.id, photo);
  if (waiting.size > before) soon(follow, TOGETHER);
}

function soon(what, after) {
  clearTimeout(timer);
  timer = setTimeout(what, after);
}

function stop() {
  clearTimeout(timer);
  source?.close();
  source = null;
}

function isInSight(photo) {
  const { top, bottom } = photo.getBoundingClientRect();
  return bottom > 0 && top < innerHeight;
}

// The photos to ask for; of too many those in sight, and other ones each time.
function asked() {
  for (const [id, photo] of waiting) if (!photo.isConnected) waiting.delete(id);
  let some = [...waiting];
  if (some.length > AT_ONCE) {
    const inSight = new Set(some.filter(([, photo]) => isInSight(photo)));
    some = [...inSight, ...some.filter((one) => !inSight.has(one))].slice(0, AT_ONCE);
  }
  for (const [id, photo] of some) waiting.delete(id) && waiting.set(id, photo);
  return some.map(([id]) => id);
}

const address = (ids) => `/photos/changes?${ids.map((id) => `id=${id}`).join("&")}`;

function follow() {
  stop();
  const ids = asked();
  if (!ids.length || document.hidden) return;
  if (Date.now() < refused) return soon(ask, (pause = SOONEST));
  if (waiting.size > ids.length) soon(follow, TURN);
  const events = (source = new EventSource(address(ids)));
  events.addEventListener("photo", ({ data }) => show([JSON.parse(data)]));
  events.addEventListener("unfinished", ({ data }) => count(JSON.parse(data)));
  events.addEventListener("end", ({ data }) => {
    events.close();
    if (data !== "settled") return;
    for (const id of ids) waiting.delete(id); // What is still there is not the visitor's any more.
    if (waiting.size) follow();
  });
  events.addEventListener("error", () => {
    if (events.readyState !== EventSource.CLOSED || events !== source) return; // Else the browser tries again by itself.
    refused = Date.now() + EVENTS_AGAIN;
    soon(ask, (pause = SOONEST));
  });
}

async function ask() {
  const ids = asked();
  let moved = false;
  try {
    const answer = await fetch(address(ids), { headers: { Accept: "application/json" } });
    if (answer.status === 401) return; // Signed out: there is nothing to be told.
    if (!answer.ok) throw new Error(answer.statusText);
    const { photos, unfinished } = await answer.json();
    const known = new Set(photos.map((photo) => photo.id));
    for (const id of ids) if (!known.has(id)) waiting.delete(id);
    count(unfinished);
    moved = show(photos);
  } catch {
    // The next question may be answered.
  }
  if (!waiting.size || document.hidden) return;
  pause = moved ? SOONEST : Math.min(pause * 1.5, LATEST);
  if (Date.now() < refused) soon(ask, pause);
  else follow();
}

// Shows what is new of photos; whether anything is. Elsewhere than in the timeline, redraw.js does.
function show(photos) {
  let moved = false;
  for (const news of photos) {
    const photo = waiting.get(news.id);
    if (!photo) continue;
    if (!underway(news.state)) waiting.delete(news.id);
    const isTile = photo.matches(".tile");
    if (news.state === photo.dataset.state && (isTile || (news.delay ?? "") === photo.dataset.delay)) continue;
    moved = true;
    if (isTile) tile(photo, news);
    else document.dispatchEvent(new CustomEvent("photos:changed", { detail: { photo, news } }));
  }
  return moved;
}

function tile(tile, news) {
  const badge = tile.querySelector(".badge");
  const blank = tile.querySelector(".blank");
  const names = news.labels.map((label) => label.name).join(", ");
  if (badge && news.state === "labelled") badge.remove();
  else if (badge) badge.textContent = news.state === "failed" ? "Failed" : "Labelling…";
  let img = tile.querySelector("img");
  if (blank && news.width && news.links.thumb) {
    img = Object.assign(new Image(news.width, news.height), { alt: blank.textContent, decoding: "async", src: news.links.thumb });
    img.dataset.hash = "";
    tile.style.setProperty("--r", Math.min(60, Math.max(10, (24 * news.width) / news.height)));
    blank.replaceWith(img);
  }
  if (img && names && !news.description) img.alt = names;
  tile.dataset.state = news.state;
}

// The sentence of how much is unfinished. In the timeline it comes into sight only for what no badge there tells, and then stays.
function count({ waiting: many, failed, told }) {
  const sentence = document.querySelector("[data-unfinished]");
  if (!sentence) return;
  sentence.textContent = sentence.matches("a") ? told : `${told}.`;
  const badges = document.querySelectorAll(".tile .badge").length;
  if (failed + many > badges) sentence.parentElement.hidden = false;
}

document.addEventListener("visibilitychange", () => (document.hidden ? stop() : follow()));
document.addEventListener("photos:shown", ({ detail }) => collect(detail));
collect([document]);
