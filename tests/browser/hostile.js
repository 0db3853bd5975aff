// What visitors write is shown and never run.
import { test } from "node:test";
import assert from "node:assert/strict";
import { KEEPER, ask, many, pictures, upload, visit } from "./house.js";

const brief = `"><img src=x onerror=alert(1)>'`; // A search takes eight words at most.
const hostile = `"><img src=x onerror=alert(1)><script>alert(2)</script><svg onload=alert(3)>'{{7*7}}`;

test("scripts in a description, a file name and a search are text", async () => {
  const [photo] = await upload((await pictures(many)).slice(3, 4), () => `${hostile.replaceAll("/", "-")}.jpg`);
  const told = await ask(`/photos/${photo.id}/description`, { method: "POST", body: new URLSearchParams({ description: hostile }) });
  assert.equal(told.status, 303);
  await visit(async (page) => {
    for (const path of [`/photos/${photo.id}`, "/photos", `/photos?q=${encodeURIComponent(brief)}`, `/photos?label=${encodeURIComponent(hostile)}`, "/labels"]) {
      await page.goto(path, { waitUntil: "networkidle" });
      assert.equal(await page.locator("[onerror], [onload], body script, img[src=x]").count(), 0, path);
    }
    await page.goto(`/photos/${photo.id}`);
    assert.equal(await page.getByLabel("Description").inputValue(), hostile);
    assert.match(await page.locator("h1").textContent(), /onerror=alert/);
    assert.match(await page.locator(".stage > img").getAttribute("alt"), /onerror=alert/);
    await page.evaluate(() => {
      const script = document.createElement("script");
      script.textContent = "alert(4)";
      document.body.append(script);
    });
    await page.waitForTimeout(200);
  }, { expected: /script-src|Content Security Policy/ });
  await ask(`/photos/${photo.id}/delete`, { method: "POST" });
});

test("scripts in somebody's name are text on every page", async () => {
  const name = hostile.slice(0, 100);
  const rename = (nickname) => ask("/account/nickname", { method: "POST", body: new URLSearchParams({ nickname }) });
  assert.equal((await rename(name)).status, 303);
  await visit(async (page) => {
    for (const path of ["/account", "/photos", "/labels", "/account/delete", "/logout", "/nowhere"]) {
      await page.goto(path, { waitUntil: "networkidle" });
      assert.equal(await page.locator("[onerror], [onload], body script, img[src=x]").count(), 0, path);
      assert.equal(await page.locator(".round").getAttribute("aria-label"), `Account of ${name}`, path);
      await page.locator(".round").click();
      assert.equal(await page.locator("#who strong").textContent(), name, path);
    }
  }, { expected: /404 \(Not Found\)/ });
  assert.equal((await rename(KEEPER.nickname)).status, 303);
});
