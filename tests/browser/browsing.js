// One finds photos again: by search, by label, by walking from one to the next; all of it survives a reload.
import { test } from "node:test";
import assert from "node:assert/strict";
import { json, tiles, visit } from "./house.js";

test("the search finds a photo by what is in it, and its chip takes the search away", async () => {
  await visit(async (page) => {
    await page.goto("/photos");
    await page.getByRole("searchbox").fill("cats");
    await page.keyboard.press("Enter");
    await page.waitForURL(/q=cats/);
    assert.equal(await tiles(page).count(), 1);
    await page.getByRole("link", { name: /Clear the search/ }).click();
    await page.waitForURL(/\/photos$/);
    assert.equal(await tiles(page).count(), 6);
    await page.goto("/photos?q=nothingofthekind");
    await page.getByText("Nothing found for “nothingofthekind”").waitFor();
  });
});

test("the labels lead to their photos, as many as they say", async () => {
  await visit(async (page) => {
    await page.goto("/photos");
    await page.getByRole("link", { name: "Labels" }).click();
    const label = page.locator(".cloud a", { hasText: /^Cat / });
    const count = Number.parseInt(await label.locator("small").textContent(), 10);
    await label.click();
    await page.getByRole("link", { name: /Clear the label Cat/ }).waitFor();
    assert.equal(await tiles(page).count(), count);
  });
});

test("a reload keeps everything, newest first", async () => {
  await visit(async (page) => {
    const ids = () => tiles(page).evaluateAll((all) => all.map((tile) => tile.dataset.id));
    await page.goto("/photos");
    const before = await ids();
    await page.reload();
    assert.deepEqual(await ids(), before);
    const { photos } = await json("/photos");
    assert.deepEqual(photos.map((photo) => photo.id), before);
    await page.waitForFunction(() => [...document.querySelectorAll(".tile img")].every((img) => img.complete && img.naturalWidth));
  });
});
