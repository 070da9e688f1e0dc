// The viewer in a real browser, headless, against a running server: a page is paired, shows what a device writes, says
// what it cannot read and that it is offline, and is removed. Then two users on one page, a pairing that is interrupted,
// and a page without a list, beside the command `levi`.
//
//   node browser.mjs LEVI FOLDER CHROMIUM < ready.json
//
// FOLDER gets the screenshots and the command's devices. CHROMIUM is the name or the path of the browser.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { randomUUID } from "node:crypto";
import { existsSync, mkdirSync, readFileSync, rmSync } from "node:fs";
import { delimiter, join, resolve } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { chromium } from "playwright-core";

const [levi, folder, chromiumName] = process.argv.slice(2);
const ready = readFileSync(0, "utf8");
const server = JSON.parse(ready);
process.env.LEVI_SERVER = ready;
const { OldDevice, evil, rows, signUp } = await import("../clients/javascript/testing/old-device.js");

const { owner } = await import("../clients/javascript/testing/scene.js");

const BROWSER = "Firefox on the desk";
let passed = 0;
const said = [];

/** On a signed list: paired by its code, then what a device writes and what a server may do. */
async function withAList() {
  const user = await signUp();
  const old = await OldDevice.begin(user);
  const page = await signedIn(user.account);
  await step("the page is paired by a code", () => pairedBy(page, old));
  await old.session({ title: "Write the release notes" });
  const session = await old.session({ title: "Fix the flaky test" });
  await old.write(session, 0, "Fix the flaky test in the parser, please.");
  await chooseByKeyboard(page, session);
  await step("a message that was there is shown", () => shows(page, 0, "Fix the flaky test"));
  await step("a message is shown as it is written", async () => {
    const began = performance.now();
    await old.write(session, 1, "Reading parser.rs ...");
    await shows(page, 1, "Reading parser.rs");
    const took = Math.round(performance.now() - began);
    console.log(`    after ${took} ms`);
    assert.ok(took < 2_000, `by polling it takes at most 2 s, not ${took} ms`);
  });
  await step("an edit replaces the message", async () => {
    await old.write(session, 1, "Reading parser.rs and its tests.\n\n  cargo test parser");
    await shows(page, 1, "and its tests");
  });
  await step("a row that the server altered is marked", async () => {
    await old.write(session, 2, "The clock was read twice; now once.");
    await shows(page, 2, "now once");
    const messages = () => evil().from("agent_coding_session_messages");
    const [{ content_encrypted }] = await rows(messages().select().eq("session_id", session.id).eq("sequence_number", 0));
    await rows(messages().update({ content_encrypted }).eq("session_id", session.id).eq("sequence_number", 2));
    await shows(page, 2, "Cannot be read");
  });
  await old.write(session, 3, "Done: 212 tests pass. <b>Text stays text.</b>");
  await shows(page, 3, "<b>Text stays text.</b>");
  for (const colorScheme of ["light", "dark"]) {
    await page.emulateMedia({ colorScheme });
    await page.screenshot({ path: join(folder, `viewer-${colorScheme}.png`) });
  }
  await step("offline is said, and what was missed comes", async () => {
    await page.context().setOffline(true);
    await page.locator("#state.offline").waitFor();
    await old.write(session, 4, "written meanwhile");
    await page.context().setOffline(false);
    await shows(page, 4, "written meanwhile");
    await page.locator("#state:not(.offline)").waitFor();
  });
  await step("after a reload the browser is still paired", async () => {
    await page.reload();
    await chooseByKeyboard(page, session);
    await shows(page, 4, "written meanwhile");
  });
  await step("a session that is shared later is shown then, and its title", async () => {
    const later = await old.session({ shared: false, title: "Not shared yet" });
    await old.write(later, 0, "before it was shared");
    await choose(page, later);
    await page.getByText("Not shared with this browser").waitFor();
    await old.share(later);
    await shows(page, 0, "before it was shared");
    await page.locator("#note").waitFor({ state: "hidden" });
    await rows(user.supabase.from("agent_coding_sessions").update({ title: "Another title" }).eq("id", later.id));
    await page.locator("#session-list").getByText("Another title").waitFor();
  });
  await step("what a removed device writes is not shown as genuine", async () => {
    const phone = await owner("phone");
    await old.scene.add(phone);
    await old.publish();
    await old.remove(phone.id);
    await old.write(session, 5, "in the newer epoch");
    await choose(page, session);
    await shows(page, 5, "in the newer epoch");
    await old.write(session, 6, "from the phone", 1);
    await shows(page, 6, "written in an older epoch");
    await old.write(session, 7, "from the phone", 0);
    await shows(page, 7, "written in an older epoch");
    await page.reload();
    const unread = await old.session({ title: "Never opened" });
    await old.write(unread, 0, "in the newer epoch");
    await page.getByText("Never opened").waitFor();
    await old.write(unread, 1, "from the phone", 0);
    await choose(page, unread);
    await shows(page, 1, "written in an older epoch");
  });
  await step("a removed browser says so, and shows nothing later", async () => {
    await choose(page, session);
    await shows(page, 5, "in the newer epoch");
    await old.remove(old.scene.list.members.find(({ member }) => member.name === BROWSER).member.id);
    await old.write(session, 8, "not for a removed browser");
    await page.getByText("This browser was removed").waitFor();
    for (const reload of [() => {}, () => page.reload()]) {
      await reload();
      await choose(page, session);
      await isRead(page, "Fix the flaky test");
      await page.getByText("This browser was removed").waitFor();
      assert.ok(!(await page.content()).includes("not for a removed browser"));
    }
  });
  await step("a removed browser is added again, and reads on", async () => {
    await page.getByRole("button", { name: "Add this browser again" }).click();
    await pairedBy(page, old);
    await page.getByText("Live").waitFor();
    await old.share(session);
    await choose(page, session);
    await shows(page, 8, "not for a removed browser");
  });
  await page.context().close();
}

/** Two users, one after the other, on one page; the server is not there when the first one leaves. */
async function signOutAndIn() {
  const [ada, ben] = [await signUp(), await signUp()];
  const old = await OldDevice.begin(ada);
  const page = await signedIn(ada.account);
  await pairedBy(page, old);
  const session = await old.session({ title: "Ada's title" });
  await old.write(session, 0, "Ada's secret");
  await choose(page, session);
  await shows(page, 0, "Ada's secret");
  const other = await page.context().newPage();
  await other.goto(address);
  await choose(other, session);
  await shows(other, 0, "Ada's secret");
  await step("a sign-out leaves nothing of the user, in no tab, though the server does not answer", async () => {
    await page.route("**/auth/v1/logout**", (route) => route.fulfill({ status: 503, body: "{}" }));
    await page.getByRole("button", { name: "Sign out" }).click();
    await page.getByText("The server did not answer").waitFor();
    await other.locator("#sign-in").waitFor();
    await old.write(session, 1, "Ada's next secret");
    for (const left of [page, other]) await holdsNothing(left, ada);
  });
  await step("the next user sees nothing of the one before", async () => {
    await fillIn(page, ben.account);
    await page.getByRole("button", { name: "Add without a code" }).click();
    await page.locator("#sessions").waitFor();
    await page.getByText("No session yet").waitFor();
    await page.locator("#state").filter({ hasText: "Live" }).waitFor();
    assert.doesNotMatch(await page.content(), /Ada/);
  });
  await page.context().close();
}

/** Neither what was read nor what was typed nor a token is there. */
async function holdsNothing(page, { account }) {
  const inputs = await page.locator("input").evaluateAll((all) => all.map(({ value }) => value));
  const stored = await page.evaluate(() => JSON.stringify({ ...localStorage, ...sessionStorage }));
  const found = [await page.content(), ...inputs, stored].join("\n");
  for (const secret of ["Ada's", account.email, account.password, "access_token", "refresh_token"]) {
    assert.ok(!found.includes(secret), `${secret} is still there`);
  }
}

/** A pairing whose page goes away, and one that is left; and a user who has a list cannot go without. */
async function interruptedPairing() {
  const user = await signUp();
  const old = await OldDevice.begin(user);
  const page = await signedIn(user.account);
  await step("a user who has a list adds no browser without a code", async () => {
    await page.getByRole("button", { name: "Add without a code" }).click();
    await page.getByText("your devices keep a signed list").waitFor();
    assert.deepEqual(await rows(user.supabase.from("devices").select("id").eq("device_type", "web")), []);
  });
  await step("a sign-out while the other device is asked takes the request back", async () => {
    await askToBeAdded(page, old);
    await page.getByRole("button", { name: "Sign out" }).click();
    await page.locator("#sign-in").waitFor();
    const devices = await rows(user.supabase.from("devices").select("is_active").eq("device_type", "web"));
    assert.deepEqual(devices, [{ is_active: false }]);
    await fillIn(page, user.account);
    await page.locator("#add").waitFor();
    assert.equal(await page.locator("#fingerprint").isVisible(), false);
  });
  await step("a page that is reloaded while it is added goes on with the same keys", async () => {
    const { paired, fingerprint } = await askToBeAdded(page, old);
    await page.reload();
    await page.getByText(fingerprint).waitFor();
    await paired(fingerprint);
    await page.locator("#sessions").waitFor();
    assert.equal(old.scene.list.activeDevices.length, 2);
  });
  await page.context().close();
}

/** Without a list: what the command writes is shown. */
async function besideTheCommand() {
  const { account, supabase } = await signUp();
  const page = await signedIn(account);
  await page.getByRole("button", { name: "Add without a code" }).click();
  await page.locator("#sessions").waitFor();
  await step("a device is added without a code where there is no list", async () => {
    const devices = await rows(supabase.from("devices").select("is_active").eq("device_type", "web"));
    assert.deepEqual(devices, [{ is_active: true }]);
  });
  await step("what `levi sync` wrote is shown", async () => {
    const session = { id: randomUUID() };
    await run(account, ["login", "--password-stdin", "--device-name", "laptop"], account.password);
    const line = JSON.stringify({ session_id: session.id, sequence_number: 0, content: "from the command" });
    await run(account, ["sync"], `${line}\n`);
    await chooseByKeyboard(page, session);
    await shows(page, 0, "from the command");
  });
  await page.context().close();
}

async function step(name, check) {
  await check();
  passed++;
  console.log(`ok  ${name}`);
}

async function signedIn({ email, password }) {
  const context = await browser.newContext({ viewport: { width: 1100, height: 640 } });
  // Supabase Lite's sign-in does not answer pages of another address, as hosted Supabase does.
  await context.route("**/auth/v1/**", async (route) => {
    const response = await route.fetch();
    await route.fulfill({ response, headers: { ...response.headers(), "access-control-allow-origin": "*" } });
  });
  const page = await context.newPage();
  page.setDefaultTimeout(20_000);
  page.on("pageerror", (error) => said.push(error.stack));
  page.on("console", (message) => said.push(message.text()));
  await page.goto(address);
  await fillIn(page, { email, password });
  await page.locator("#add").waitFor();
  return page;
}

async function fillIn(page, { email, password }) {
  const form = { "Project URL": server.url, "Publishable key": server.publishable_key, Email: email, Password: password };
  for (const [label, value] of Object.entries(form)) await page.getByLabel(label).fill(value);
  await page.getByRole("button", { name: "Sign in" }).click();
}

/** The form, up to the fingerprint. */
async function askToBeAdded(page, old) {
  const { code, paired } = old.invite();
  await page.getByLabel("Name of this browser").fill(BROWSER);
  await page.getByLabel("Code").fill(code);
  await page.getByRole("button", { name: "Add with the code" }).click();
  const fingerprint = page.locator("#fingerprint strong");
  await fingerprint.waitFor();
  return { paired, fingerprint: await fingerprint.textContent() };
}

async function pairedBy(page, old) {
  const { paired, fingerprint } = await askToBeAdded(page, old);
  await paired(fingerprint);
  await page.locator("#sessions").waitFor();
}

const choose = (page, { id }) => page.locator(`[data-session="${id}"]`).click();

async function chooseByKeyboard(page, session) {
  const button = page.locator(`[data-session="${session.id}"]`);
  await button.waitFor();
  await button.focus();
  await page.keyboard.press("Enter");
}

const shows = (page, number, text) =>
  page.locator(`#messages li[data-number="${number}"]`).filter({ hasText: text }).waitFor();

/** The session was chosen and read to its end, as far as it can be. */
async function isRead(page, title) {
  await page.locator("#session-title").getByText(title).waitFor();
  await page.locator('#messages[aria-live="polite"]').waitFor({ state: "attached" });
}

/** The command `levi`, which must succeed. */
function run(account, args, input) {
  const settings = { LEVI_URL: server.url, LEVI_PUBLISHABLE_KEY: server.publishable_key, LEVI_EMAIL: account.email };
  const env = { ...process.env, ...settings, LEVI_DATA_DIR: join(folder, "laptop") };
  return new Promise((resolve, reject) => {
    const child = spawn(levi, args, { env, stdio: ["pipe", "ignore", "inherit"] });
    child.on("error", reject);
    child.on("close", (status) => (status === 0 ? resolve() : reject(new Error(`levi ${args[0]}: ${status}`))));
    child.stdin.end(input);
  });
}

/** playwright-core wants a path. */
function onPath(name) {
  const folders = process.env.PATH.split(delimiter);
  return [resolve(name), ...folders.map((folder) => join(folder, name))].find((path) => existsSync(path));
}

function startViewer() {
  const child = spawn(process.execPath, [fileURLToPath(new URL("../clients/viewer/serve.mjs", import.meta.url)), "0"]);
  const address = new Promise((resolve) => createInterface({ input: child.stdout }).once("line", resolve));
  return { child, address };
}

rmSync(folder, { recursive: true, force: true });
mkdirSync(folder, { recursive: true });
const viewer = startViewer();
const address = await viewer.address;
const executablePath = onPath(chromiumName);
const browser = await chromium.launch({ executablePath, args: ["--no-sandbox"] });
try {
  await withAList();
  await signOutAndIn();
  await interruptedPairing();
  await besideTheCommand();
  const wrong = said.filter((line) => /Content Security Policy|Error:/.test(line));
  assert.deepEqual(wrong, [], "the page had errors");
  console.log(`${passed} passed, 0 failed`);
} catch (error) {
  console.error(`FAILED  ${error.stack}\n${said.slice(-20).join("\n")}`);
  process.exitCode = 1;
} finally {
  await browser.close();
  viewer.child.kill();
}
