// What is under way and what has failed: open pages hear of it by themselves, and one click tries again.
import { test } from "node:test";
import assert from "node:assert/strict";
import { ask, hand, json, many, pictures, settled, until, upload, url, visit } from "./house.js";

const events = (request) => request.resourceType() === "eventsource";

// A photo that has been labelled, for as long as a test lasts.
async function withPhoto(walk, options) {
  const [photo] = await upload((await pictures(many)).slice(3, 4));
  await settled(photo);
  try {
    await visit((page) => walk(page, photo), options);
  } finally {
    assert.equal((await ask(`/photos/${photo.id}/delete`, { method: "POST", headers: { Accept: "application/json" } })).status, 204);
  }
}

// Opens a page that must not be loaded anew; once its events have begun.
async function open(page, path) {
  const begun = page.waitForResponse((answer) => events(answer.request()) && answer.status() === 200);
  await page.goto(path);
  await page.evaluate(() => (window.same = true));
  await begun;
}

const tileOf = (page, photo) => page.locator(`.tile[data-id="${photo.id}"]`);
const lineOf = (page, photo) => page.locator(`.line[data-id="${photo.id}"]`);

test("a photo becomes labelled in the timeline, on its page and among the unfinished without a reload", async () => {
  await withPhoto(async (timeline, photo) => {
    await hand("hold", photo);
    const [own, unfinished] = [await timeline.context().newPage(), await timeline.context().newPage()];
    await open(timeline, "/photos");
    await open(own, `/photos/${photo.id}`);
    await open(unfinished, "/unfinished");
    const asked = [];
    for (const page of [timeline, own, unfinished])
      page.on("request", (request) => request.url().includes("/photos/changes") && !events(request) && asked.push(request.url()));
    await tileOf(timeline, photo).getByText("Labelling…").waitFor();
    await timeline.getByRole("link", { name: "1 photo waits for its labels" }).waitFor();
    await own.locator("#labels").getByText("Labelling…").waitFor();
    await lineOf(unfinished, photo).getByText("Labelling…").waitFor();

    await hand("label", photo);
    await tileOf(timeline, photo).locator(".badge").waitFor({ state: "detached" });
    await timeline.getByRole("link", { name: "Thundercloud" }).waitFor();
    await timeline.getByRole("link", { name: "All photos are labelled" }).waitFor();
    await own.locator("#labels").getByRole("link", { name: "Thundercloud" }).waitFor();
    await lineOf(unfinished, photo).getByText("Labelled: Thundercloud.").waitFor();
    for (const page of [timeline, own, unfinished]) assert.ok(await page.evaluate(() => window.same), "the page was loaded anew");
    assert.deepEqual(asked, [], "nobody asked now and then");
  });
});

test("what is put off, and what fails, says so on the open page", async () => {
  await withPhoto(async (page, photo) => {
    await hand("hold", photo);
    await open(page, `/photos/${photo.id}`);
    await hand("put-off", photo);
    // A page that could not be had on a busy machine is asked for again after 15 s.
    await page.locator("#labels").getByText("Labelling has been put off: the next try is in about 4 minutes.").waitFor({ timeout: 45_000 });
    await hand("fail", photo);
    await page.locator("#labels").getByText("It is too dark in there.").waitFor();
    assert.match(await page.locator("#live").textContent(), /too dark/);
    await page.getByRole("button", { name: "Try again" }).click();
    await page.locator(".photo[data-state=labelled]").waitFor();
    assert.ok(await page.evaluate(() => window.same), "the page was loaded anew");
  });
});

test("the timeline leads to what has failed, and one click there tries again", async () => {
  await withPhoto(async (page, photo) => {
    await page.goto("/photos");
    assert.equal(await page.locator(".unfinished-note").isVisible(), false, "there is nothing to lead to");
    await hand("fail", photo);
    await page.goto("/photos");
    await tileOf(page, photo).getByText("Failed").waitFor();
    await page.getByRole("link", { name: "1 photo could not be finished" }).click();
    await page.waitForURL(/\/unfinished$/);
    await page.evaluate(() => (window.same = true));
    const line = lineOf(page, photo);
    await line.getByText("It is too dark in there.").waitFor();
    await line.getByRole("button", { name: /Try again/ }).focus();
    await page.keyboard.press("Enter");
    await line.getByText(/^(Labelled: |Done\.)/).waitFor();
    await page.getByText("All photos are labelled.").waitFor();
    assert.ok(await line.locator(":focus").count(), "the focus stays on the line");
    assert.ok(await page.evaluate(() => window.same), "the page was loaded anew");
    await page.reload();
    await page.getByRole("heading", { name: "Nothing is waiting" }).waitFor();
  });
});

test("what fails while one looks comes to those that could not be finished, and says so again when it fails again", async () => {
  await withPhoto(async (page, photo) => {
    await hand("hold", photo);
    await open(page, "/unfinished");
    assert.equal(await page.getByRole("button", { name: "Try all failed again" }).count(), 0);
    await hand("fail", photo);
    const failed = page.locator("section", { has: page.getByRole("heading", { name: "Could not be finished" }) });
    await failed.locator(`[data-id="${photo.id}"]`).getByText("It is too dark in there.").waitFor();
    await page.getByRole("button", { name: "Try all failed again" }).waitFor();
    assert.equal(await page.getByRole("heading", { name: "Under way" }).count(), 0);
    assert.equal(await lineOf(page, photo).count(), 1);

    // A list that was read while the photo went from one part of it to the other has it in neither.
    await page.route("**/unfinished", async (route) => {
      if (route.request().method() !== "GET") return route.continue();
      await hand("hold", photo);
      const answer = await route.fetch();
      const body = (await answer.text()).replace(`data-id="${photo.id}"`, "");
      await route.fulfill({ response: answer, body });
    }, { times: 1 });
    await page.route(`**/photos/${photo.id}/retry`, async (route) => {
      await route.fulfill({ json: { ...(await json(`/photos/${photo.id}`)), state: "labelling", problem: undefined } });
    }, { times: 1 });
    await lineOf(page, photo).getByRole("button", { name: /Try again/ }).click();
    await lineOf(page, photo).getByText("Labelling…").waitFor();
    await hand("fail", photo);
    await lineOf(page, photo).getByText("It is too dark in there.").waitFor();
    assert.ok(await page.evaluate(() => window.same), "the page was loaded anew");
  });
});

test("a picture whose file is missing says so in words", async () => {
  await withPhoto(async (page, photo) => {
    await page.route(/thumb|display/, (route) => route.fulfill({ status: 404, body: "" }));
    await page.goto("/photos");
    await tileOf(page, photo).getByText("Picture missing").waitFor();
    await page.goto(`/photos/${photo.id}`);
    await page.locator(".stage").getByText("Picture missing").waitFor();
  }, { expected: /404/ });
});

test("all that has failed is tried again at once", async () => {
  await withPhoto(async (page, photo) => {
    await hand("fail", photo);
    await page.goto("/unfinished");
    await page.getByRole("button", { name: "Try all failed again" }).click();
    await settled(photo);
  });
});

test("where events are refused the page asks now and then", async () => {
  await withPhoto(async (page, photo) => {
    await hand("hold", photo);
    await page.route("**/photos/changes?*", (route) => (events(route.request()) ? route.fulfill({ status: 503, body: "" }) : route.continue()));
    const answered = page.waitForResponse((answer) => answer.url().includes("/photos/changes") && answer.status() === 200);
    await page.goto("/photos");
    await page.evaluate(() => (window.same = true));
    await answered;
    await hand("label", photo);
    await tileOf(page, photo).locator(".badge").waitFor({ state: "detached" });
    assert.ok(await page.evaluate(() => window.same), "the page was loaded anew");
  }, { expected: /503/ });
});

test("a page that nobody looks at leaves its connection to others, and goes on when it is looked at", async () => {
  await withPhoto(async (page, photo) => {
    await hand("hold", photo);
    await open(page, "/photos");
    const ended = page.waitForEvent("requestfailed", events);
    const hide = (hidden) => page.evaluate((hidden) => {
      Object.defineProperty(document, "hidden", { value: hidden, configurable: true });
      document.dispatchEvent(new Event("visibilitychange"));
    }, hidden);
    await hide(true);
    await ended;
    await hand("label", photo);
    await hide(false);
    await tileOf(page, photo).locator(".badge").waitFor({ state: "detached" });
  });
});

test("without scripts pages tell how photos are, and a form tries again", async () => {
  await withPhoto(async (page, photo) => {
    await hand("hold", photo);
    await page.goto("/photos");
    await tileOf(page, photo).getByText("Labelling…").waitFor();
    await hand("put-off", photo);
    await page.goto(`/photos/${photo.id}`);
    await page.locator("#labels").getByText("Labelling has been put off: the next try is in about 4 minutes.").waitFor();
    await hand("fail", photo);
    await page.goto("/photos");
    await page.getByRole("link", { name: "1 photo could not be finished" }).click();
    await lineOf(page, photo).getByRole("button", { name: /Try again/ }).click();
    await page.waitForLoadState("load");
    assert.equal(page.url(), `${url}/unfinished`);
    await settled(photo);
    await until("nothing is unfinished", async () => (await json("/unfinished")).photos.length === 0);
    await page.reload();
    await page.getByRole("heading", { name: "Nothing is waiting" }).waitFor();
  }, { javaScriptEnabled: false });
});
