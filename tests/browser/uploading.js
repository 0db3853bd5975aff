// Photos come in by drop and by choice, with their progress, and stand in the timeline with their labels without a reload.
import { readFile } from "node:fs/promises";
import { basename, join } from "node:path";
import { test } from "node:test";
import assert from "node:assert/strict";
import { choosing, drop, photos, pictures, tiles, until, visit } from "./house.js";

const refusals = /Failed to load resource.*\/photos\)$/; // the browser's own line for each answer of 4xx

test("an empty gallery takes a drop of files, shows each one's progress, and lays them out without a reload", async () => {
  await visit(async (page) => {
    await page.goto("/");
    await page.getByText("Your gallery is empty").waitFor();
    await page.evaluate(() => (window.same = true));
    const slow = await page.context().newCDPSession(page);
    const line = { offline: false, latency: 0, downloadThroughput: -1 };
    await slow.send("Network.emulateNetworkConditions", { ...line, uploadThroughput: 150_000 });
    const files = await Promise.all((await pictures(photos)).map(async (path) => ({ name: basename(path), bytes: await readFile(path) })));
    assert.equal(files.length, 6);
    await drop(page, [...files, { name: "letter.jpg", bytes: Buffer.from("This is no picture.") }]);
    await page.getByRole("heading", { name: /Uploading \d of 7 photos/ }).waitFor();
    await page.locator(".uploads li progress").first().waitFor();
    await page.locator(".uploads li span", { hasText: /\d %|Developing/ }).first().waitFor();
    await slow.send("Network.emulateNetworkConditions", { ...line, uploadThroughput: -1 });

    await page.getByRole("heading", { name: "6 photos here, 1 refused" }).waitFor();
    await tiles(page).nth(5).waitFor();
    assert.equal(await tiles(page).count(), 6);
    const refused = page.locator(".uploads .failed");
    assert.equal(await refused.locator("b").textContent(), "letter.jpg");
    assert.match(await refused.locator(".refused").textContent(), /^[A-Z].*(picture|photo|image|file).*\.$/i);

    await until("all labels arrive", async () => !(await page.locator(".badge").count()), 60_000);
    await page.getByRole("link", { name: /Cat/ }).waitFor();
    assert.ok(await page.evaluate(() => window.same), "the page was loaded anew");
  }, { expected: refusals });
});

test("chosen files go the same way, and one that is here already leads to its photo", async () => {
  await visit(async (page) => {
    const chosen = choosing(page, [join(photos, "coffee.jpg")]);
    await page.goto("/photos");
    await page.locator("summary", { hasText: "Add photos" }).click();
    await page.getByLabel("Photos", { exact: true }).click();
    await chosen;
    await page.getByRole("button", { name: "Upload", exact: true }).click();
    const here = page.getByRole("link", { name: "Already here" });
    await here.waitFor();
    assert.equal(await tiles(page).count(), 6);
    await here.click();
    await page.getByRole("heading", { name: "coffee.jpg" }).waitFor();
  });
});

test("what is filled in to add photos is wholly in sight on a small screen", async () => {
  for (const width of [320, 390, 440]) {
    await visit(async (page) => {
      await page.goto("/photos");
      await page.locator("summary", { hasText: "Add photos" }).click();
      const { x, y, width: wide, height } = await page.locator(".bar .upload").boundingBox();
      assert.ok(x >= 0 && x + wide <= width && y >= 0 && y + height <= 844, `${x}, ${y}, ${wide}, ${height} at ${width}`);
      assert.equal(await page.evaluate(() => document.documentElement.scrollWidth), width);
    }, { viewport: { width, height: 844 } });
  }
});

// Drops a file that says it has one byte more than is taken.
const dropTooLarge = (page, most) => page.evaluate((most) => {
  const file = new File(["x"], "large.jpg");
  Object.defineProperty(file, "size", { value: most + 1 });
  const event = new DragEvent("drop", { bubbles: true, cancelable: true });
  Object.defineProperty(event, "dataTransfer", { value: { types: ["Files"], files: [file], items: [] } });
  document.body.dispatchEvent(event);
}, most);

test("a file that is too large is refused before it is sent", async () => {
  await visit(async (page) => {
    await page.goto("/photos");
    const sent = [];
    page.on("request", (request) => request.method() === "POST" && sent.push(request.url()));
    const most = Number(await page.locator("#add").getAttribute("data-max"));
    assert.ok(most >= 1_000_000, `${most} bytes`);
    await dropTooLarge(page, most);
    await page.locator(".uploads .refused", { hasText: /larger than \d+ MB/ }).waitFor();
    assert.deepEqual(sent, []);
  });
});

test("a file that is tried again after others came counts among these", async () => {
  await visit(async (page) => {
    await page.route("**/photos", (route) => (route.request().method() === "POST"
      ? route.fulfill({ status: 503, headers: { "Retry-After": "1" }, json: { detail: "Not now." } })
      : route.continue()));
    await page.goto("/photos");
    const most = Number(await page.locator("#add").getAttribute("data-max"));
    await drop(page, [{ name: "coffee.jpg", bytes: await readFile(join(photos, "coffee.jpg")) }]);
    const again = page.getByRole("button", { name: "Try again" });
    await again.waitFor();
    await dropTooLarge(page, most);
    await page.getByRole("heading", { name: "0 photos here, 1 refused" }).waitFor();
    await page.unroute("**/photos");
    await again.click();
    await page.getByRole("heading", { name: "1 photo here, 1 refused" }).waitFor();
  }, { expected: refusals });
});
