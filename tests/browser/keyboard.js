// Everything that a mouse can do, keys can.
import { test } from "node:test";
import assert from "node:assert/strict";
import { choosing, many, pictures, tiles, until, visit } from "./house.js";

// Presses Tab until the focus is on what `selector` names, and can be seen.
async function tabTo(page, selector) {
  for (let pressed = 0; pressed < 80; pressed++) {
    await page.keyboard.press("Tab");
    const there = await page.evaluate((selector) => {
      const on = document.activeElement;
      if (!on.matches(selector)) return false;
      const styles = [getComputedStyle(on), getComputedStyle(on, "::after")];
      return styles.some((style) => parseFloat(style.outlineWidth) > 0 || parseFloat(style.borderTopWidth) > 0) || "unseen";
    }, selector);
    if (there === true) return;
    assert.notEqual(there, "unseen", `the focus on ${selector} cannot be seen`);
  }
  assert.fail(`Tab does not lead to ${selector}`);
}

test("keys alone upload, search, open and delete a photo", async () => {
  const [file] = (await pictures(many)).slice(1, 2);
  await visit(async (page) => {
    const chosen = choosing(page, [file]);
    await page.goto("/photos");
    await page.keyboard.press("Tab");
    assert.equal(await page.evaluate(() => document.activeElement.textContent), "Skip to content");
    await tabTo(page, "details.add > summary");
    await page.keyboard.press("Enter");
    await tabTo(page, "input[type=file]");
    await page.keyboard.press("Space");
    await chosen;
    await tabTo(page, "[name=description]");
    await page.keyboard.type("a kingfisher by keyboard");
    await page.keyboard.press("Enter");
    await until("the photo is here", async () => (await tiles(page).count()) === 7);

    await page.goto("/photos");
    await tabTo(page, "[type=search]");
    await page.keyboard.type("kingfisher");
    await page.keyboard.press("Enter");
    await page.waitForURL(/q=kingfisher/);
    assert.equal(await tiles(page).count(), 1);
    await tabTo(page, ".tile a");
    await page.keyboard.press("Enter");
    await page.waitForURL(/photos\/[0-9a-f-]{36}$/);
    await tabTo(page, "details.delete > summary");
    await page.keyboard.press("Enter");
    await tabTo(page, ".delete button");
    await page.keyboard.press("Enter");
    await page.waitForURL(/\/photos$/);
    assert.equal(await tiles(page).count(), 6);
  });
});

test("arrow keys move among the tiles", async () => {
  await visit(async (page) => {
    await page.goto("/photos");
    await tiles(page).first().locator("a").focus();
    const focused = () => page.evaluate(() => [...document.querySelectorAll(".tile a")].indexOf(document.activeElement));
    await page.keyboard.press("ArrowRight");
    assert.equal(await focused(), 1);
    await page.keyboard.press("ArrowDown");
    assert.ok((await focused()) > 1);
    await page.keyboard.press("ArrowUp");
    await page.keyboard.press("ArrowLeft");
    assert.ok((await focused()) <= 1);
  });
});
