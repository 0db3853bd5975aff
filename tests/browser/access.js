// Every page, in light and dark and from phone to large screen: readable to all, nothing cut off.
import { readFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { test } from "node:test";
import assert from "node:assert/strict";
import { json, visit } from "./house.js";

const axe = await readFile(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");

async function everyPage() {
  const { photos } = await json("/photos?q=chelsea");
  return ["/photos", "/photos?q=coffee", "/photos?q=nothingofthekind", "/photos?label=Cat", "/labels", `/photos/${photos[0].id}`, "/nowhere"];
}

for (const colorScheme of ["light", "dark"]) {
  test(`axe finds no serious barrier in ${colorScheme}`, async () => {
    const pages = await everyPage();
    await visit(async (page) => {
      for (const path of pages) {
        await page.goto(path);
        for (const closed of await page.locator("details:not([open]) > summary").all()) await closed.click();
        await page.evaluate(axe);
        const found = await page.evaluate(async () => {
          const { violations } = await window.axe.run(document, { resultTypes: ["violations"], preload: false });
          const grave = violations.filter(({ impact }) => impact === "serious" || impact === "critical");
          return grave.map(({ id, nodes }) => `${id}: ${nodes.map(({ html }) => html).join(" | ")}`);
        });
        assert.deepEqual(found, [], path);
      }
    }, { colorScheme, expected: /404 \(Not Found\)/ });
  });
}

test("no page scrolls sideways at any width", async () => {
  const pages = await everyPage();
  await visit(async (page) => {
    for (const [width, height] of [[390, 844], [1280, 800], [2560, 1440]]) {
      await page.setViewportSize({ width, height });
      for (const path of pages) {
        await page.goto(path);
        const over = await page.evaluate(() => document.scrollingElement.scrollWidth - innerWidth);
        assert.ok(over <= 0, `${path} is ${over} px wider than ${width} px`);
      }
    }
  }, { expected: /404 \(Not Found\)/ });
});
