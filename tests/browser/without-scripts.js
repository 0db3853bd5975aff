// The gallery without JavaScript.
import { test } from "node:test";
import assert from "node:assert/strict";
import { many, pictures, tiles, visit } from "./house.js";

test("without scripts one can upload, search, open, describe and delete", async () => {
  const file = (await pictures(many))[2];
  await visit(async (page) => {
    await page.goto("/photos");
    await page.locator("summary", { hasText: "Add photos" }).click();
    await page.getByLabel("Photos", { exact: true }).setInputFiles([file]);
    await page.getByLabel("Description, if you like").fill("plainly a heron");
    await page.getByRole("button", { name: "Upload", exact: true }).click();
    await page.waitForLoadState("load");
    await page.goto("/photos");
    assert.equal(await tiles(page).count(), 7);

    await page.getByRole("searchbox").fill("heron");
    await page.getByRole("button", { name: "Search" }).click();
    await page.waitForURL(/q=heron/);
    assert.equal(await tiles(page).count(), 1);
    await tiles(page).first().click();
    await page.waitForURL(/photos\/[0-9a-f-]{36}$/);
    await page.getByLabel("Description").fill("plainly a stork");
    await page.getByRole("button", { name: "Save" }).click();
    await page.waitForLoadState("load");
    assert.equal(await page.getByLabel("Description").inputValue(), "plainly a stork");
    await page.locator("summary", { hasText: "Delete" }).click();
    await page.getByRole("button", { name: "Delete this photo" }).click();
    await page.waitForURL(/\/photos$/);
    assert.equal(await tiles(page).count(), 6);
  }, { javaScriptEnabled: false });
});

test("without scripts a refused file's reason stands beside the files that were taken", async () => {
  const buffer = Buffer.from("This is no picture.");
  await visit(async (page) => {
    await page.goto("/photos");
    await page.locator("summary", { hasText: "Add photos" }).click();
    await page.getByLabel("Photos", { exact: true }).setInputFiles([{ name: "letter.jpg", mimeType: "image/jpeg", buffer }]);
    await page.getByRole("button", { name: "Upload", exact: true }).click();
    await page.locator(".outcomes .refused", { hasText: "letter.jpg" }).waitFor();
    assert.match(await page.locator(".outcomes .refused span").first().textContent(), /\.$/);
  }, { javaScriptEnabled: false, expected: /Failed to load resource/ });
});
