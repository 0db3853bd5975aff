// More photos than one page holds.
import { test } from "node:test";
import assert from "node:assert/strict";
import { json, many, pictures, tiles, until, upload, visit } from "./house.js";

test("the timeline grows as one scrolls, without a shift, until all photos are there", async () => {
  await upload((await pictures(many)).slice(4));
  const all = 6 + (await pictures(many)).length - 4;
  assert.ok(all > 60);
  await visit(async (page) => {
    await page.goto("/photos");
    assert.ok((await tiles(page).count()) >= 60);
    await until("all are there", async () => {
      await page.mouse.wheel(0, 400);
      return (await tiles(page).count()) === all;
    });
    await page.locator(".more").waitFor({ state: "detached" });
    const ids = await tiles(page).evaluateAll((list) => list.map((tile) => tile.dataset.id));
    assert.equal(new Set(ids).size, all);
    const shift = await page.evaluate(() => window.shift);
    assert.ok(shift < 0.01, `the timeline shifted by ${shift}`);
    await tiles(page).last().click();
    await page.waitForURL(/photos\/[0-9a-f-]{36}$/);
    await page.goBack();
    await until("the timeline is as long as it was", async () => (await tiles(page).count()) === all);
  });
});

test("without scripts a link leads to the older photos", async () => {
  const { photos, next } = await json("/photos");
  assert.equal(photos.length, 60);
  await visit(async (page) => {
    await page.goto("/photos");
    await page.getByRole("link", { name: "Older photos" }).click();
    await page.waitForURL(`**${next}`);
    assert.ok((await tiles(page).count()) > 0);
    await page.getByRole("link", { name: "Back to the newest photos" }).click();
    await page.waitForURL(/\/photos$/);
  }, { javaScriptEnabled: false });
});
