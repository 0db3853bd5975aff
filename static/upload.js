// Uploads: choose or drop, one request per file, three at a time, each with its progress, retried when the line is bad.
const AT_ONCE = 3;
const TRIES = 6;
const SILENCE = 120_000; // ms without a byte after which a request is given up
const ROWS = { done: 60, failed: 300 }; // how many of each the panel keeps

const form = document.getElementById("add");
const input = form.elements.photo;
const most = Number(form.dataset.max);
const live = document.getElementById("live");
const queue = [];
let panel = null;
let batch = 0; // counts what follows; a new one begins when files come after all others are done
let [active, total, done, kept, failed, told] = [0, 0, 0, 0, 0, 0];
const away = new Set(); // what waits for one to sign in again

function element(name, text, attributes = {}) {
  const made = Object.assign(document.createElement(name), attributes);
  if (text) made.textContent = text;
  return made;
}

function open() {
  if (panel) return;
  panel = element("section", "", { className: "uploads" });
  panel.setAttribute("aria-label", "Uploads");
  const header = element("header");
  const close = element("button", "", { type: "button", title: "Hide or show" });
  close.setAttribute("aria-label", "Hide or show the list of uploads");
  close.innerHTML = '<svg viewBox="0 0 20 20" width="20" height="20" aria-hidden="true"><path d="m5 5 10 10M15 5 5 15"/></svg>';
  close.addEventListener("click", () => {
    const list = panel.querySelector("ul");
    if (done < total) list.hidden = !list.hidden; // while it runs, its heading stays
    else panel.hidden = true;
  });
  header.append(element("h2"), close);
  const notice = element("p", "You have been signed out. ", { className: "away", hidden: true });
  const again = element("button", "Try all again", { type: "button" });
  again.addEventListener("click", () => [...away].reverse().forEach(anew));
  notice.append(element("a", "Sign in in a new tab", { href: "/login", target: "_blank" }), ", then ", again);
  panel.append(header, Object.assign(element("progress"), { ariaLabel: "All uploads" }), notice, element("ul"));
  document.body.append(panel);
}

function count() {
  const bar = panel.querySelector("progress");
  const files = (n) => `${n.toLocaleString("en")} ${n === 1 ? "photo" : "photos"}`;
  const running = done < total;
  bar.max = total;
  bar.value = done;
  bar.hidden = !running;
  panel.querySelector(".away").hidden = !away.size;
  const title = running ? `Uploading ${(done + 1).toLocaleString("en")} of ${files(total)}`
    : away.size ? `${files(away.size)} waiting for you to sign in`
    : failed ? `${files(kept)} here, ${failed.toLocaleString("en")} refused` : `${files(kept)} here`;
  panel.querySelector("h2").textContent = title;
  if (!running || done - told >= 10) {
    told = done;
    live.textContent = title;
  }
}

function add(files, description = "") {
  if (!files.length) return;
  open();
  panel.hidden = panel.querySelector("ul").hidden = false;
  if (done === total) [batch, total, done, kept, failed, told] = [batch + 1, 0, 0, 0, 0, 0];
  for (const file of files) queue.push({ file, description, batch, tries: 0 });
  total += files.length;
  count();
  while (active < AT_ONCE && queue.length) next();
}

function next() {
  const job = queue.shift();
  if (!job) return;
  active++;
  row(job);
  if (job.file.size > most) queueMicrotask(() => end(job, `This file is larger than ${form.dataset.most}, the most that is taken.`));
  else send(job);
}

function row(job) {
  job.row ??= element("li");
  job.row.replaceChildren(element("b", job.file.name, { title: job.file.name }), element("span"), Object.assign(element("progress"), { max: 1, value: 0, ariaLabel: job.file.name }));
  job.row.className = "";
  const list = panel.querySelector("ul");
  const refused = [...list.getElementsByClassName("failed")].at(-1); // Those come first, that nobody has to look for them.
  if (!job.row.isConnected && refused) refused.after(job.row);
  else if (!job.row.isConnected) list.prepend(job.row);
  for (const [kind, most] of Object.entries(ROWS)) [...list.getElementsByClassName(kind)].slice(most).forEach((old) => old.remove());
}

function say(job, text) {
  job.row.querySelector("span").textContent = text;
}

function send(job) {
  job.tries++;
  const body = new FormData();
  if (job.description) body.append("description", job.description);
  body.append("photo", job.file);
  const request = new XMLHttpRequest();
  request.open("POST", "/photos");
  request.setRequestHeader("Accept", "application/json");
  request.responseType = "json";
  const bar = job.row.querySelector("progress");
  let silence = 0;
  const heard = () => {
    clearTimeout(silence);
    silence = setTimeout(() => request.abort(), SILENCE);
  };
  request.upload.addEventListener("progress", ({ loaded, total }) => {
    heard();
    bar.value = loaded / total;
    say(job, loaded < total ? `${Math.floor((100 * loaded) / total)} %` : "Developing…");
  });
  request.addEventListener("load", () => {
    if ([429, 502, 503, 504].includes(request.status)) return again(job, request);
    if (request.status === 401) return signedOut(job);
    const result = request.response?.results?.[0];
    if (result?.photo) end(job, "", result);
    else end(job, (result?.problem ?? request.response)?.detail ?? `The gallery answered with status ${request.status} and no reason.`);
  });
  request.addEventListener("error", () => again(job));
  request.addEventListener("abort", () => again(job));
  request.addEventListener("loadend", () => clearTimeout(silence));
  heard();
  request.send(body);
}

// The session has ended meanwhile: files wait here while one signs in beside, and can then all be tried again.
function signedOut(job) {
  away.add(job);
  end(job, "Waits for you to sign in.");
}

function anew(job) {
  job.tries = 0;
  if (job.batch === batch) [failed, done] = [failed - 1, done - 1];
  else [job.batch, total] = [batch, total + 1];
  away.delete(job);
  queue.unshift(job);
  if (active < AT_ONCE) next();
  count();
}

// Waits as long as the server asks, else twice as long each time with some chance in it, so that not all come at once.
function again(job, request) {
  const asked = Number(request?.getResponseHeader("Retry-After"));
  if (job.tries >= TRIES)
    return end(job, request?.response?.detail ?? request?.response?.results?.[0]?.problem?.detail ?? "The gallery could not be reached, or the file can no longer be read.", null, true);
  say(job, "Waiting to try again…");
  const wait = asked > 0 ? Math.min(asked, 120) * 1000 : 1000 * 2 ** (job.tries - 1);
  setTimeout(() => send(job), wait * (1 + Math.random() / 4));
}

function end(job, problem, result, retry) {
  active--;
  done++;
  job.row.querySelector("progress").remove();
  if (problem) {
    failed++;
    job.row.className = "failed";
    say(job, "");
    job.row.append(element("p", problem, { className: "refused" }));
    if (retry) {
      const button = element("button", "Try again", { type: "button" });
      button.addEventListener("click", () => anew(job));
      job.row.append(button);
    }
    panel.querySelector("ul").prepend(job.row);
  } else {
    kept++;
    job.row.className = "done";
    const link = element("a", result.status === 200 ? "Already here" : "Show", { href: `/photos/${result.photo.id}` });
    job.row.querySelector("span").replaceChildren(link);
    show();
  }
  count();
  next();
}

// New photos are put into the timeline at the end of a batch, and every few seconds during a long one; the first of all at once.
let showing = 0;
function show() {
  const now = (!queue.length && !active) || !document.querySelector(".tile");
  if (now) clearTimeout(showing);
  else if (showing) return;
  showing = setTimeout(() => {
    showing = 0;
    document.dispatchEvent(new CustomEvent("photos:added"));
  }, now ? 0 : 4000);
}

form.addEventListener("submit", (event) => {
  event.preventDefault();
  add([...input.files], form.elements.description.value.trim());
  form.reset();
  const menu = form.closest("details");
  if (menu) menu.open = false;
});

// Every file of a drop, folders walked through; hidden files stay out.
async function* entries(entry) {
  if (entry.name.startsWith(".")) return;
  if (entry.isFile) return yield await new Promise((resolve, reject) => entry.file(resolve, reject));
  const reader = entry.createReader();
  for (;;) {
    const some = await new Promise((resolve, reject) => reader.readEntries(resolve, reject));
    if (!some.length) return;
    for (const inner of some) yield* entries(inner);
  }
}

const carriesFiles = (event) => event.dataTransfer?.types.includes("Files");
let depth = 0;
addEventListener("dragenter", (event) => {
  if (carriesFiles(event) && ++depth) document.body.classList.add("dropping");
});
addEventListener("dragleave", (event) => {
  if (carriesFiles(event) && --depth <= 0) document.body.classList.remove("dropping");
});
addEventListener("dragover", (event) => carriesFiles(event) && event.preventDefault());
addEventListener("drop", async (event) => {
  if (!carriesFiles(event)) return;
  event.preventDefault();
  depth = 0;
  document.body.classList.remove("dropping");
  const plain = [...event.dataTransfer.files];
  const roots = [...event.dataTransfer.items].map((item) => item.webkitGetAsEntry?.()).filter(Boolean);
  if (!roots.some((root) => root.isDirectory)) return add(plain);
  let some = [];
  for (const root of roots) {
    try {
      for await (const file of entries(root)) if (some.push(file) === 100) add(some.splice(0));
    } catch {
      live.textContent = `The folder ${root.name} could not be read to its end.`;
    }
  }
  add(some);
});

addEventListener("beforeunload", (event) => active && event.preventDefault());
document.addEventListener("click", ({ target }) => {
  const menu = document.querySelector("details.add[open]");
  if (menu && !menu.contains(target)) menu.open = false;
});
document.addEventListener("keydown", ({ key }) => {
  const menu = key === "Escape" && document.querySelector("details.add[open]");
  if (!menu) return;
  menu.open = false;
  menu.querySelector("summary").focus();
});
