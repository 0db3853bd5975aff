// One photo: what is in it and where, its description, its neighbours, and its end.
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import assert from "node:assert/strict";
import { json, many, photos, pictures, tiles, until, upload, visit } from "./house.js";

const named = async (name) => (await json("/photos")).photos.find((photo) => photo.file_name === name);

test("a photo shows its labels as bars, and where they are", async () => {
  const photo = await named("chelsea.jpg");
  await visit(async (page) => {
    await page.goto("/photos");
    await page.locator(`[data-id="${photo.id}"] a`).click();
    await page.getByRole("heading", { name: "chelsea.jpg" }).waitFor();
    const cat = page.locator("#labels li", { has: page.getByRole("link", { name: "Cat", exact: true }) });
    const sure = Number(await cat.locator("meter").getAttribute("value"));
    assert.ok(sure > 50 && sure <= 100, `${sure} %`);
    const box = page.locator(`.boxes [data-label="${await cat.getAttribute("data-label")}"]`);
    assert.equal(await box.evaluate((g) => getComputedStyle(g).opacity), "0");
    await cat.hover();
    await until("the box of the cat is shown", async () => (await box.evaluate((g) => getComputedStyle(g).opacity)) === "1");
    const [frame, picture] = await Promise.all([box.locator("rect").first().boundingBox(), page.locator(".stage > img").boundingBox()]);
    assert.ok(frame.width > 40 && frame.height > 40 && frame.x >= picture.x - 3 && frame.y >= picture.y - 3, JSON.stringify({ frame, picture }));
    assert.ok(await page.evaluate(() => window.shift < 0.01), "the page shifted");
  });
});

test("a description is written and found", async () => {
  const photo = await named("coffee.jpg");
  await visit(async (page) => {
    await page.goto(`/photos/${photo.id}`);
    await page.getByLabel("Description").fill("Frühstück with Anna & Jo\nsecond line");
    await page.getByRole("button", { name: "Save" }).click();
    await until("it is kept", async () => (await named("coffee.jpg")).description === "Frühstück with Anna & Jo\nsecond line");
    await page.reload();
    assert.equal(await page.getByLabel("Description").inputValue(), "Frühstück with Anna & Jo\nsecond line");
    await page.goto("/photos?q=fruhstuck");
    assert.equal(await tiles(page).count(), 1);
  });
});

test("arrow keys walk through the photos, and Escape leads back to the place one came from", async () => {
  const ids = (await json("/photos")).photos.map((photo) => photo.id);
  await visit(async (page) => {
    await page.goto("/photos");
    await tiles(page).first().click();
    await page.waitForURL(`**/${ids[0]}`);
    for (const [key, id] of [["ArrowRight", ids[1]], ["ArrowRight", ids[2]], ["ArrowLeft", ids[1]]]) {
      await page.keyboard.press(key);
      await page.waitForURL(`**/${id}`);
    }
    await page.getByLabel("Description").focus();
    await page.keyboard.press("ArrowRight");
    await page.getByRole("link", { name: "Older photo" }).focus();
    await page.keyboard.press("Escape");
    await page.waitForURL(/\/photos$/);
  });
});

test("the original comes down byte for byte", async () => {
  const photo = await named("rocket.jpg");
  await visit(async (page) => {
    await page.goto(`/photos/${photo.id}`);
    const coming = page.waitForEvent("download");
    await page.getByRole("link", { name: "Download original" }).click();
    const download = await coming;
    assert.equal(download.suggestedFilename(), "rocket.jpg");
    assert.deepEqual(await readFile(await download.path()), await readFile(join(photos, "rocket.jpg")));
  });
});

test("a photo is deleted once that is confirmed, and is gone", async () => {
  const [photo] = await upload((await pictures(many)).slice(0, 1));
  await visit(async (page) => {
    await page.goto(`/photos/${photo.id}`);
    const confirm = page.getByRole("button", { name: "Delete this photo" });
    assert.equal(await confirm.isVisible(), false);
    await page.locator("summary", { hasText: "Delete" }).click();
    await confirm.click();
    await page.waitForURL(/\/photos$/);
    assert.equal(await page.locator(`[data-id="${photo.id}"]`).count(), 0);
    const answer = await page.goto(`/photos/${photo.id}`);
    assert.equal(answer.status(), 404);
    await page.getByRole("heading", { name: "Nothing here" }).waitFor();
  }, { expected: /404 \(Not Found\)/ });
});
