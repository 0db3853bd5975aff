// After signing out nothing is left on the screen, and nothing that was under way is lost.
import { readFile } from "node:fs/promises";
import { test } from "node:test";
import assert from "node:assert/strict";
import { KEEPER, ask, drop, enter, many, pictures, send, tiles, visit } from "./house.js";

test("after signing out, Back shows no photo", async () => {
  await visit(async (page) => {
    await page.goto("/photos");
    await tiles(page).first().click();
    await page.waitForURL(/photos\/[0-9a-f-]{36}$/);
    await page.goto("/account");
    await page.getByRole("button", { name: "Sign out here" }).click();
    await page.getByText("You are signed out.").waitFor();
    for (let back = 0; back < 3; back++) {
      await page.goBack();
      await page.getByRole("heading", { name: "Sign in" }).waitFor();
      assert.equal(await page.locator(".tile, .stage, .sessions").count(), 0, page.url());
    }
  }, { as: () => enter(KEEPER) });
});

test("an upload that finds the session ended says so, and goes on once one has signed in beside", async () => {
  const cookies = await enter(KEEPER);
  const paths = (await pictures(many)).slice(3, 6);
  const late = [];
  await visit(async (page) => {
    await page.goto("/photos");
    await send("/logout", {}, cookies.join("; "));
    await drop(page, await Promise.all(paths.map(async (path, n) => ({ name: `late-${n}.jpg`, bytes: await readFile(path) }))));
    await page.getByRole("heading", { name: "3 photos waiting for you to sign in" }).waitFor();
    assert.equal(await page.locator(".uploads").getByText("You have been signed out.").count(), 1);
    const opening = page.waitForEvent("popup");
    await page.getByRole("link", { name: "Sign in in a new tab" }).click();
    const beside = await opening;
    await beside.getByLabel("E-mail address").fill(KEEPER.email);
    await beside.locator("#password").fill(KEEPER.password);
    await beside.getByRole("button", { name: "Sign in" }).click();
    await beside.waitForURL(/\/photos$/);
    await page.getByRole("button", { name: "Try all again" }).click();
    await page.getByRole("heading", { name: "3 photos here" }).waitFor();
    assert.equal(await page.getByText("You have been signed out.").isVisible(), false);
    for (const shown of await page.locator(".uploads").getByRole("link", { name: "Show" }).all()) {
      late.push(await shown.getAttribute("href"));
    }
  }, { as: async () => cookies, expected: /401 \(Unauthorized\)|Failed to load resource.*\/photos\)$/ });
  // Once the page is closed: it may still be loading the pictures of its new tiles.
  for (const photo of late) assert.equal((await ask(`${photo}/delete`, { method: "POST" })).status, 303);
});
