// People come, stay and go, all without JavaScript. The first finds the gallery without anybody.
import { test } from "node:test";
import assert from "node:assert/strict";
import { KEEPER, NOBODY, enter, send, url, visit } from "./house.js";

const plain = { javaScriptEnabled: false, as: NOBODY, expected: /4\d\d \((Not Found|Unauthorized|Unprocessable \w+)\)/ };
const VISITOR = { email: "visitor@example.org", nickname: "Vera Visitor", password: "a bicycle made of clouds" };

async function signIn(page, { email, password }) {
  await page.getByLabel("E-mail address").fill(email);
  await page.getByLabel("Password", { exact: true }).fill(password);
  await page.getByRole("button", { name: "Sign in" }).click();
}

async function signUp(page, { email, nickname, password }) {
  await page.getByLabel("E-mail address").fill(email);
  await page.getByLabel("Name", { exact: true }).fill(nickname);
  await page.getByLabel("Password", { exact: true }).fill(password);
  await page.getByRole("button", { name: /^Make the .*account$/ }).click();
  await page.getByText("You can sign in now.").waitFor();
  assert.equal(await page.getByLabel("E-mail address").inputValue(), email);
  assert.equal(await page.evaluate(() => document.activeElement?.id), "password");
}

test("the first account is made without a code, and its page says that it owns the gallery", async () => {
  await visit(async (page) => {
    await page.goto("/");
    await page.getByRole("heading", { name: "Welcome to your gallery" }).waitFor();
    await page.getByText("This account will own the gallery").waitFor();
    assert.equal(await page.evaluate(() => document.activeElement?.id), "email");
    await signUp(page, KEEPER);
    await signIn(page, KEEPER);
    await page.getByText("Your gallery is empty").waitFor();
    await page.getByRole("button", { name: "Account of Keeper" }).click();
    await page.getByRole("button", { name: "Sign out" }).click();
    await page.getByText("You are signed out.").waitFor();
  }, plain);
});

test("a second person signs up, mistypes the password, and is led to where they wanted to go", async () => {
  await visit(async (page) => {
    await page.goto("/labels");
    assert.equal(new URL(page.url()).search, "?next=%2Flabels");
    await page.getByRole("link", { name: "Make an account" }).click();
    assert.equal(await page.getByText("will own the gallery").count(), 0);
    await signUp(page, VISITOR);
    await signIn(page, { ...VISITOR, password: "not it at all" });
    await page.getByRole("alert").filter({ hasText: "The e-mail address or the password is not right." }).waitFor();
    assert.equal(await page.getByLabel("E-mail address").inputValue(), VISITOR.email);
    assert.equal(await page.getByLabel("Password", { exact: true }).inputValue(), "");
    assert.equal(await page.evaluate(() => document.activeElement?.id), "password");
    await signIn(page, VISITOR);
    await page.getByRole("heading", { name: "No labels yet" }).waitFor();
    assert.equal(new URL(page.url()).pathname, "/labels");
    await page.goto("/login");
    assert.equal(new URL(page.url()).pathname, "/photos");
    await page.goto("/nowhere");
    await page.getByRole("button", { name: "Account of Vera Visitor" }).waitFor();
  }, plain);
});

test("a person changes name and password, ends one session and then all", async () => {
  const elsewhere = (await enter(VISITOR)).join("; ");
  const status = async () => (await fetch(`${url}/account`, { headers: { Cookie: elsewhere }, redirect: "manual" })).status;
  await visit(async (page) => {
    await page.goto("/account");
    await page.getByLabel("Name", { exact: true }).fill("Vera");
    await page.getByRole("button", { name: "Save" }).click();
    await page.getByText("Your name is changed.").waitFor();
    await page.getByRole("button", { name: "Account of Vera", exact: true }).waitFor();

    assert.equal(await page.locator(".sessions li").first().locator(".tag").textContent(), "This device");
    assert.equal(await page.locator(".sessions .tag").count(), 1);
    await page.getByLabel("Current password").fill("not it at all");
    await page.getByLabel("New password").fill("clouds made of bicycles");
    await page.getByRole("button", { name: "Change the password" }).click();
    await page.getByText("This is not your current password.").waitFor();
    assert.equal(await page.getByLabel("Current password").getAttribute("aria-describedby"), "current-problem");
    assert.equal(await status(), 200);
    await page.getByLabel("Current password").fill(VISITOR.password);
    await page.getByLabel("New password").fill("clouds made of bicycles");
    await page.getByRole("button", { name: "Change the password" }).click();
    await page.getByText("Your password is changed").waitFor();
    assert.equal(await page.locator(".sessions li").count(), 1);
    assert.equal(await status(), 303);

    VISITOR.password = "clouds made of bicycles";
    await enter(VISITOR);
    await page.reload();
    await page.locator(".sessions li").nth(1).getByRole("button", { name: /Sign out/ }).click();
    await page.getByText("That device is signed out.").waitFor();
    assert.equal(await page.evaluate(() => document.activeElement?.id), "done");
    assert.equal(await page.locator(".sessions li").count(), 1);

    await page.getByRole("button", { name: "Sign out everywhere" }).click();
    await page.getByText("You are signed out everywhere.").waitFor();
    await page.goto("/account");
    assert.equal(new URL(page.url()).pathname, "/login");
  }, { ...plain, as: () => enter(VISITOR) });
});

test("who has forgotten the password is told who can help", async () => {
  await visit(async (page) => {
    await page.goto("/login");
    await page.getByRole("link", { name: "Forgot your password?" }).click();
    await page.getByText("ask the person who runs it").waitFor();
    await page.getByRole("link", { name: "Back to sign in" }).click();
    await page.getByRole("heading", { name: "Sign in" }).waitFor();
  }, plain);
});

test("an account is deleted once its password is given, and cannot be signed in to", async () => {
  await visit(async (page) => {
    await page.goto("/account");
    await page.getByRole("link", { name: "Delete my account…" }).click();
    await page.getByRole("heading", { name: "Delete your account?" }).waitFor();
    await page.getByLabel("Your password").fill("not it at all");
    await page.getByRole("button", { name: "Delete my account" }).click();
    await page.getByText("This is not your password.").waitFor();
    await page.getByLabel("Your password").fill(VISITOR.password);
    await page.getByRole("button", { name: "Delete my account" }).click();
    await page.getByText("Your account and everything in it is deleted.").waitFor();
    assert.equal((await send("/login", VISITOR)).status, 401);
  }, { ...plain, as: () => enter(VISITOR) });
});

test("with scripts a password can be looked at, and keys alone lead to the account", async () => {
  await visit(async (page) => {
    await page.goto("/login?next=/labels");
    await page.keyboard.type(KEEPER.email);
    await page.keyboard.press("Tab");
    await page.keyboard.type(KEEPER.password);
    await page.keyboard.press("Tab");
    await page.keyboard.press("Enter");
    const field = page.locator("#password");
    assert.equal(await field.getAttribute("type"), "text");
    assert.equal(await field.inputValue(), KEEPER.password);
    await page.getByRole("button", { name: "Hide the password" }).click();
    assert.equal(await field.getAttribute("type"), "password");
    await page.keyboard.press("Enter");
    await page.waitForURL(/\/labels$/);
    await page.locator(".round").focus();
    await page.keyboard.press("Enter");
    await page.keyboard.press("Tab");
    assert.equal(await page.evaluate(() => document.activeElement.textContent), "Account");
    await page.keyboard.press("Escape");
    assert.equal(await page.locator("#who").isVisible(), false);
    await page.keyboard.press("Enter");
    await page.keyboard.press("Tab");
    await page.keyboard.press("Enter");
    await page.waitForURL(/\/account$/);
  }, { as: NOBODY });
});
