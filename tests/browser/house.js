// What all browser tests share: the browser, the one who keeps the gallery, pages that report what goes wrong in them, and ways to
// bring photos in.
import { readFile, readdir } from "node:fs/promises";
import { basename, join } from "node:path";
import { after } from "node:test";
import assert from "node:assert/strict";
import { chromium } from "playwright-core";

const given = (name) => process.env[name] ?? assert.fail(`${name} is not set; these tests are run by tests/it/browser.rs`);

export const url = given("GALLERY_URL");
export const photos = given("GALLERY_PHOTOS"); // a folder of a few real photographs
export const many = given("GALLERY_MANY"); // a folder of more than 60 small pictures
export const WAIT = 20_000; // ms that anything may take

const browser = await chromium.launch({
  executablePath: given("TEST_CHROMIUM"),
  args: [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
  ],
  timeout: 60_000,
});
after(() => browser.close());

export const KEEPER = { email: "keeper@example.org", nickname: "Keeper", password: "correct horse battery staple" };

// Sends a form as a program does, with these cookies.
export function send(path, fields, cookie = "") {
  const headers = { "Sec-Fetch-Site": "none", Cookie: cookie };
  return fetch(url + path, { method: "POST", body: new URLSearchParams(fields), headers, redirect: "manual", signal: AbortSignal.timeout(WAIT) });
}

// Signs in, with an account made when it is not there; the cookies.
export async function enter(who) {
  assert.equal((await send("/signup", who)).status, 303);
  const answer = await send("/login", who);
  assert.equal(answer.status, 303);
  return answer.headers.getSetCookie().map((cookie) => cookie.split(";")[0]).filter((cookie) => !cookie.endsWith("="));
}

let entered = null;
export const keeper = () => (entered ??= enter(KEEPER));

// Asks as the keeper.
export async function ask(path, options = {}) {
  const headers = { "Sec-Fetch-Site": "none", Cookie: (await keeper()).join("; "), ...options.headers };
  return fetch(url + path, { redirect: "manual", signal: AbortSignal.timeout(WAIT), ...options, headers });
}

export const NOBODY = async () => [];

// Opens a page as the keeper, or with the cookies that `as` gives, lets `walk` use it, and fails when anything went wrong in it that `expected` does not match: an error in
// the console, a breach of the content policy, an exception, a dialog.
export async function visit(walk, { expected, as = keeper, ...options } = {}) {
  const context = await browser.newContext({ baseURL: url, viewport: { width: 1280, height: 800 }, acceptDownloads: true, ...options });
  await context.addCookies((await as()).map((cookie) => {
    const [name, value] = cookie.split(/=(.*)/s);
    return { name, value, url, httpOnly: true, sameSite: "Lax" };
  }));
  context.setDefaultTimeout(WAIT);
  const wrong = [];
  const scripted = options.javaScriptEnabled !== false;
  if (scripted) {
    await context.exposeBinding("reportBreach", (_, what) => wrong.push(what));
    await context.addInitScript(() => {
      addEventListener("securitypolicyviolation", (e) => window.reportBreach(`${e.violatedDirective} was breached by ${e.blockedURI} ${e.sample}`));
      window.shift = 0;
      new PerformanceObserver((list) => list.getEntries().forEach((e) => e.hadRecentInput || (window.shift += e.value)))
        .observe({ type: "layout-shift", buffered: true });
    });
  }
  const page = await context.newPage();
  page.on("console", (message) => message.type() === "error" && wrong.push(`${message.text()} (${message.location().url})`));
  page.on("pageerror", (error) => wrong.push(String(error)));
  page.on("dialog", (dialog) => {
    wrong.push(`a dialog was opened: ${dialog.message()}`);
    dialog.dismiss().catch(() => {});
  });
  try {
    await walk(page);
  } finally {
    await context.close();
  }
  const unexpected = wrong.filter((what) => !expected?.test(what));
  assert.deepEqual(unexpected, []);
}

export async function pictures(folder) {
  return (await readdir(folder)).filter((name) => name.endsWith(".jpg")).sort().map((name) => join(folder, name));
}

// Uploads files as a program; their photos.
export async function upload(files, name = basename) {
  const one = async (file) => {
    const form = new FormData();
    form.append("photo", new Blob([await readFile(file)]), name(file));
    const answer = await ask("/photos", { method: "POST", body: form, headers: { Accept: "application/json" } });
    const { results } = await answer.json();
    assert.ok(answer.ok, JSON.stringify(results));
    return results[0].photo;
  };
  const photos = [];
  for (let at = 0; at < files.length; at += 4) photos.push(...(await Promise.all(files.slice(at, at + 4).map(one))));
  return photos;
}

export async function json(path) {
  const answer = await ask(path, { headers: { Accept: "application/json" } });
  return { status: answer.status, ...(await answer.json()) };
}

// Drops files on the page as a hand with a mouse does.
export async function drop(page, files) {
  const carried = await Promise.all(files.map(async ({ name, bytes }) => ({ name, data: Buffer.from(bytes).toString("base64") })));
  const transfer = await page.evaluateHandle((carried) => {
    const transfer = new DataTransfer();
    for (const { name, data } of carried)
      transfer.items.add(new File([Uint8Array.from(atob(data), (c) => c.charCodeAt(0))], name));
    return transfer;
  }, carried);
  await page.dispatchEvent("body", "dragenter", { dataTransfer: transfer });
  assert.ok(await page.evaluate(() => document.body.classList.contains("dropping")), "the page does not show that it takes a drop");
  await page.dispatchEvent("body", "drop", { dataTransfer: transfer });
}

// Answers the next file chooser. To be called before the page is opened: the browser must know by then not to show its own.
export function choosing(page, files) {
  return page.waitForEvent("filechooser", { timeout: 2 * WAIT }).then((chooser) => chooser.setFiles(files));
}

// Has a worker elsewhere do something with a finished photo: hold, put-off, fail, label.
export async function hand(what, photo) {
  const answer = await fetch(`${given("GALLERY_HAND")}/${what}/${photo.id}`, { signal: AbortSignal.timeout(WAIT) });
  assert.equal(answer.status, 204);
}

export const settled = (photo) => until("the photo is labelled", async () => (await json(`/photos/${photo.id}`)).state === "labelled", 3 * WAIT);

export const tiles = (page) => page.locator(".tile");

// Waits until a check, asked again and again, is true.
export async function until(what, check, within = WAIT) {
  for (const end = Date.now() + within; Date.now() < end; await new Promise((resolve) => setTimeout(resolve, 50)))
    if (await check()) return;
  assert.fail(`${what}: not within ${within / 1000} s`);
}
