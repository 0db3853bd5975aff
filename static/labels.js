// Photos whose labels are on their way are asked for now and then, a few at a time, until the labels are there.
const [SOONEST, LATEST, AT_ONCE] = [2000, 15000, 4];

const live = document.getElementById("live");
const waiting = new Set();
let pause = SOONEST;
let timer = 0;

function collect(roots) {
  for (const root of roots)
    for (const photo of [root, ...root.querySelectorAll("[data-state]")])
      if (/^(stored|labelling)$/.test(photo.dataset?.state)) waiting.add(photo);
  if (waiting.size && !document.hidden) schedule((pause = SOONEST));
}

function schedule(after) {
  clearTimeout(timer);
  timer = setTimeout(ask, after);
}

async function ask() {
  const some = [...waiting].filter((photo) => photo.isConnected || !waiting.delete(photo)).slice(0, AT_ONCE);
  const moved = (await Promise.all(some.map(look))).some(Boolean);
  pause = moved ? SOONEST : Math.min(pause * 1.5, LATEST);
  if (waiting.size && !document.hidden) schedule(pause);
}

// Whether the photo has moved on. One that has not goes to the end of the line.
async function look(photo) {
  waiting.delete(photo);
  try {
    const answer = await fetch(`/photos/${photo.dataset.id}`, { headers: { Accept: "application/json" } });
    if (answer.status === 404) return true;
    if (!answer.ok) throw new Error(answer.statusText);
    const news = await answer.json();
    if (news.state === "stored" || news.state === "labelling") waiting.add(photo);
    if (news.state === photo.dataset.state) return false;
    if (photo.matches(".tile")) tile(photo, news);
    else await whole(photo, news.state);
    photo.dataset.state = news.state;
    return true;
  } catch {
    waiting.add(photo);
    return false;
  }
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
}

// On a photo's own page the server's rendering of the labels takes the place of what stands there.
async function whole(photo, state) {
  const answer = await fetch(location.href, { headers: { Accept: "text/html" } });
  if (!answer.ok) throw new Error(answer.statusText);
  const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
  for (const part of photo.dataset.state === "stored" ? [".stage", "#labels", "dl"] : [".boxes", "#labels"]) {
    const [here, there] = [photo.querySelector(part), fresh.querySelector(part)];
    if (here && there) here.replaceWith(there);
  }
  photo.dataset.state = state;
  document.dispatchEvent(new CustomEvent("photos:shown", { detail: [photo] }));
  const names = [...photo.querySelectorAll("#labels a")].map((a) => a.textContent);
  live.textContent = names.length ? `Labels: ${names.join(", ")}.` : "No labels were found.";
}

document.addEventListener("visibilitychange", () => (document.hidden ? clearTimeout(timer) : collect([])));
document.addEventListener("photos:shown", ({ detail }) => collect(detail));
collect([document]);
