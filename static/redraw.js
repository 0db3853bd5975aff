// One photo's page and the list of what is unfinished: what changes is drawn by the server and takes the place of what stands there, and
// another try is made without leaving the page.
const AGAIN = 15_000; // ms after which it is looked again where that failed
const TOGETHER = 100; // ms within which changes are drawn together

// Moments are told by the server in UTC, here by the clock of whoever looks.
function tellTime(root) {
  for (const time of root.querySelectorAll("time[datetime]")) {
    const at = new Date(time.dateTime);
    const part = (options) => at.toLocaleString("en", options);
    const day = `${at.getDate()} ${part({ month: "long" })} ${at.getFullYear()}`;
    const weekday = "weekday" in time.dataset ? `${part({ weekday: "long" })}, ` : "";
    time.textContent = `${weekday}${day}, ${part({ hour: "2-digit", minute: "2-digit", hourCycle: "h23" })}`;
  }
}
tellTime(document);

const live = document.getElementById("live");
const changed = new Map(); // what is to be drawn, by the photos' elements

document.addEventListener("photos:changed", ({ detail: { photo, news } }) => {
  if (!changed.size) setTimeout(redraw, TOGETHER);
  changed.set(photo, news);
});

async function redraw() {
  const photos = [...changed];
  changed.clear();
  const tell = (shown) => document.dispatchEvent(new CustomEvent("photos:shown", { detail: shown }));
  let fresh;
  try {
    const answer = await fetch(location.href, { headers: { Accept: "text/html" } });
    if (!answer.ok || answer.redirected) throw new Error(answer.statusText);
    fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
    tellTime(fresh);
  } catch {
    setTimeout(tell, AGAIN, photos.map(([photo]) => photo)); // They say still that they wait, and so are followed again.
    return;
  }
  tell(photos.map(([photo, news]) => {
    const there = fresh.querySelector(`[data-id="${news.id}"]`);
    return photo.matches(".line") ? line(photo, news, there) : page(photo, fresh);
  }));
  document.querySelectorAll(".unfinished section:not(:has(.line))").forEach((section) => section.remove());
}

// A line of what is unfinished. One that the server does not list any more stays in its place and says why; one that is not listed only
// because it was just then on its way from the one list to the other is followed on.
function line(line, news, there) {
  const focused = line.contains(document.activeElement);
  const shown = there ? listed(line, there) : unlisted(line, news);
  if (focused && !shown.contains(document.activeElement)) shown.querySelector("p a").focus();
  return shown;
}

function listed(line, there) {
  const fresh = document.importNode(there, true);
  const list = section(there).querySelector(".lines");
  if (list === line.parentElement) {
    line.replaceWith(fresh);
    return fresh;
  }
  line.remove();
  let next = null;
  for (let after = there.nextElementSibling; after && !next; after = after.nextElementSibling)
    next = list.querySelector(`[data-id="${after.dataset.id}"]`);
  list.insertBefore(fresh, next);
  if (fresh.dataset.state === "failed") live.textContent = `${fresh.querySelector("p a").textContent}: ${fresh.querySelector(".told").textContent}`;
  return fresh;
}

// The section of this page like the one where the server lists a line; made when it is not there yet. Failed ones come first.
function section(there) {
  const fresh = there.closest("section");
  const name = fresh.getAttribute("aria-labelledby");
  const here = document.querySelector(`section[aria-labelledby="${name}"]`);
  const head = document.importNode(fresh.querySelector(".head"), true);
  if (here) {
    if (!here.querySelector(".head form") && head.querySelector("form")) here.querySelector(".head").replaceWith(head);
    return here;
  }
  const made = document.importNode(fresh, false);
  made.append(head, Object.assign(document.createElement("ul"), { className: "lines" }));
  const other = document.querySelector(".unfinished section");
  if (name === "failed-h") other.before(made);
  else other.after(made);
  return made;
}

function unlisted(line, news) {
  const told = line.querySelector(".told");
  line.querySelector(".retry")?.remove();
  line.dataset.state = news.state;
  line.dataset.delay = news.delay ?? "";
  if (news.state === "stored" || news.state === "labelling") {
    told.classList.add("working");
    told.textContent = news.delay ?? (news.state === "stored" ? "Preparing…" : "Labelling…");
    return line;
  }
  const names = news.labels.map((label) => label.name).join(", ");
  told.classList.remove("working");
  told.textContent = news.state === "failed" ? news.problem : names ? `Labelled: ${names}.` : "Done. No labels were found.";
  live.textContent = `${line.querySelector("p a").textContent}: ${told.textContent}`;
  return line;
}

function page(photo, fresh) {
  const focused = photo.querySelector("#labels").contains(document.activeElement);
  for (const part of photo.dataset.state === "stored" ? [".stage", "#labels", "dl"] : [".boxes", "#labels"]) {
    const [here, there] = [photo.querySelector(part), fresh.querySelector(part)];
    if (here && there) here.replaceWith(there);
  }
  const { state, delay } = fresh.querySelector(".photo").dataset;
  Object.assign(photo.dataset, { state, delay });
  if (focused) photo.querySelector("#labels").focus();
  const names = [...photo.querySelectorAll("#labels a")].map((a) => a.textContent);
  const said = photo.querySelector("#labels .told")?.textContent;
  live.textContent = said ?? (names.length ? `Labels: ${names.join(", ")}.` : "No labels were found.");
  return photo;
}

document.addEventListener("submit", async (event) => {
  const form = event.target;
  const photo = form.closest("[data-id]");
  if (!form.matches(".retry") || !photo) return;
  event.preventDefault();
  const button = form.querySelector("button");
  button.disabled = true;
  try {
    const body = new URLSearchParams(new FormData(form));
    const answer = await fetch(form.action, { method: "POST", body, headers: { Accept: "application/json" } });
    if (!answer.ok) throw new Error(answer.statusText);
    changed.set(photo, await answer.json());
    button.disabled = false;
    button.focus();
    await redraw();
  } catch {
    form.submit(); // As without scripts: the answer says what is wrong.
  }
});
