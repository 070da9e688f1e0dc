// The viewer in a real browser, headless, against a running server: a page is paired, shows what a device writes, says
// what it cannot read and that it is offline, and is removed. Then a page without a list, beside the command `levi`.
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

let passed = 0;
const said = [];

/** On a signed list: paired by its code, then what a device writes and what a server may do. */
async function withAList() {
  const user = await signUp();
  const old = await OldDevice.begin(user);
  const page = await signedIn(user.account);
  await pair(page, old);
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
  await step("a removed browser says so, and shows nothing later", async () => {
    await old.remove(old.scene.list.members.at(-1).member.id);
    await old.write(session, 5, "not for a removed browser");
    await page.reload();
    await page.getByText("This browser was removed").waitFor();
    assert.ok(!(await page.content()).includes("not for a removed browser"));
  });
  await page.context().close();
}

/** Without a list: what the command writes is shown. */
async function besideTheCommand() {
  const { account } = await signUp();
  const page = await signedIn(account);
  await page.getByRole("button", { name: "Add without a code" }).click();
  await page.locator("#sessions").waitFor();
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
  const form = { "Project URL": server.url, "Publishable key": server.publishable_key, Email: email, Password: password };
  for (const [label, value] of Object.entries(form)) await page.getByLabel(label).fill(value);
  await page.getByRole("button", { name: "Sign in" }).click();
  await page.locator("#add").waitFor();
  return page;
}

async function pair(page, old) {
  await step("the page is paired by a code", async () => {
    const { code, paired } = old.invite();
    await page.getByLabel("Name of this browser").fill("Firefox on the desk");
    await page.getByLabel("Code").fill(code);
    await page.getByRole("button", { name: "Add with the code" }).click();
    const fingerprint = page.locator("#fingerprint strong");
    await fingerprint.waitFor();
    await paired(await fingerprint.textContent());
    await page.locator("#sessions").waitFor();
  });
}

async function chooseByKeyboard(page, session) {
  const button = page.locator(`[data-session="${session.id}"]`);
  await button.waitFor();
  await button.focus();
  await page.keyboard.press("Enter");
}

const shows = (page, number, text) =>
  page.locator(`#messages li[data-number="${number}"]`).filter({ hasText: text }).waitFor();

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
