// Every page, in light and dark and from phone to large screen: readable to all, nothing cut off.
import { readFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { test } from "node:test";
import assert from "node:assert/strict";
import { NOBODY, hand, json, visit } from "./house.js";

const axe = await readFile(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");

async function everyPage() {
  const { photos } = await json("/photos?q=chelsea");
  const [failed, putOff] = (await json("/photos")).photos;
  await hand("fail", failed);
  await hand("put-off", putOff);
  return ["/unfinished", "/unfinished?waiting=00000000000000000000000000000000", `/photos/${failed.id}`, `/photos/${putOff.id}`, "/photos", "/photos?q=coffee", "/photos?q=nothingofthekind", "/photos?label=Cat", "/labels", `/photos/${photos[0].id}`, "/account", "/account/delete", "/logout", "/nowhere"];
}

const DOORSTEP = ["/login", "/login?done=signed-out&next=/labels", "/signup", "/forgot", "/callback", "/nowhere"];
const refused = /4\d\d \((Not Found|Bad Request|Unauthorized|Unprocessable \w+)\)/;

// The forms of accounts as they are shown when something is wrong with them.
async function wrongForms(page, check) {
  for (const [path, button, action = path] of [["/login", "Sign in"], ["/signup", "Make the account"], ["/login", "Sign in", "/confirm"]]) {
    await page.goto(path);
    await page.locator("form").evaluate((form, action) => Object.assign(form, { noValidate: true, action }), action);
    await page.getByRole("button", { name: button, exact: true }).click();
    await page.locator("[aria-invalid]").first().waitFor();
    await check(`${action} refused`);
  }
}

for (const colorScheme of ["light", "dark"]) {
  test(`axe finds no serious barrier in ${colorScheme}`, async () => {
    const pages = await everyPage();
    const check = async (page, path) => {
      await page.evaluate(axe);
      const found = await page.evaluate(async () => {
        const { violations } = await window.axe.run(document, { resultTypes: ["violations"], preload: false });
        const grave = violations.filter(({ impact }) => impact === "serious" || impact === "critical");
        return grave.map(({ id, nodes }) => `${id}: ${nodes.map(({ html }) => html).join(" | ")}`);
      });
      assert.deepEqual(found, [], path);
    };
    const walk = (pages) => async (page) => {
      for (const path of pages) {
        await page.goto(path);
        for (const closed of await page.locator("details:not([open]) > summary").all()) await closed.click();
        if (await page.locator(".round").count()) await page.locator(".round").click();
        await check(page, path);
      }
    };
    await visit(walk(pages), { colorScheme, expected: refused });
    await visit(async (page) => {
      await walk(DOORSTEP)(page);
      await wrongForms(page, (path) => check(page, path));
    }, { colorScheme, expected: refused, as: NOBODY });
  });
}

test("no page scrolls sideways at any width", async () => {
  const walk = (pages) => async (page) => {
    for (const [width, height] of [[390, 844], [1280, 800], [2560, 1440]]) {
      await page.setViewportSize({ width, height });
      for (const path of pages) {
        await page.goto(path);
        const over = await page.evaluate(() => document.scrollingElement.scrollWidth - innerWidth);
        assert.ok(over <= 0, `${path} is ${over} px wider than ${width} px`);
      }
    }
  };
  await visit(walk(await everyPage()), { expected: refused });
  await visit(walk(DOORSTEP), { expected: refused, as: NOBODY });
});
