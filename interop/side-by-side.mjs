// Three devices of one user on one server, as a person sees them side by side: a daemon that writes (`levi sync` on a pipe
// that stays open), one that follows (`levi pull --follow`), and the viewer in a browser. With Realtime, through dropped
// sockets, and by polling.
//
//   node side-by-side.mjs LEVI FAKE_SUPABASE FOLDER [CHROMIUM]

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { randomUUID } from "node:crypto";
import { existsSync, mkdirSync, rmSync } from "node:fs";
import { delimiter, join, resolve } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { chromium } from "playwright-core";
import { levi, signUp, startFake, within } from "./fake.mjs";

const [program, fake, folder, browserName] = process.argv.slice(2);
const PATIENCE_MS = 30_000;
/** From the line that is written until the other devices show it. */
const PUSHED_MS = 500;

rmSync(folder, { recursive: true, force: true });
mkdirSync(folder, { recursive: true });
const server = await startFake(fake);
const user = await signUp(server);
const device = (name, ...args) => levi(program, server, user, join(folder, name), args);
const session_id = randomUUID();
const ends = [() => server.stop()];
let passed = 0;
try {
  await sideBySide();
  console.log(`${passed} passed, 0 failed`);
} catch (error) {
  console.error(`FAILED  ${error.stack}`);
  process.exitCode = 1;
} finally {
  for (const end of ends.reverse()) await end();
}

async function sideBySide() {
  for (const name of ["writer", "reader"]) {
    await device(name, "login", "--password-stdin", "--device-name", name).end(user.password);
  }
  const page = browserName && (await openPage());
  const writer = device("writer", "sync");
  ends.push(() => writer.kill());
  const reader = await follow();
  const show = (number) => page?.locator(`#messages li[data-number="${number}"]`).waitFor();

  writer.write({ session_id, sequence_number: 0, content: "begin" });
  await within(PATIENCE_MS, "the first message", reader.shows(0));
  if (page) await page.locator(`[data-session="${session_id}"]`).click();
  await show(0);
  if (page) await page.locator("#state").filter({ hasText: "by Realtime" }).waitFor();

  const times = { follower: [], page: [] };
  for (let number = 1; number <= 5; number++) {
    const began = performance.now();
    const after = (shown, who) => Promise.resolve(shown).then(() => times[who].push(performance.now() - began));
    writer.write({ session_id, sequence_number: number, content: `line ${number}` });
    await within(PATIENCE_MS, `message ${number}`, Promise.all([after(reader.shows(number), "follower"), after(show(number), "page")]));
    // As a person writes: the followers are at rest by then.
    await new Promise((resolve) => setTimeout(resolve, 1_500));
  }
  for (const [who, all] of Object.entries(times)) {
    if (who === "page" && !page) continue;
    const median = Math.round(all.sort((a, b) => a - b)[2]);
    console.log(`    ${who}: ${all.map(Math.round).join(", ")} ms`);
    assert.ok(median < PUSHED_MS, `${who}: pushed within ${PUSHED_MS} ms, not ${median}`);
  }
  const { events } = await server.stats();
  assert.ok(events > 0, "Realtime was used");
  ok(`what one device writes is on the others within ${PUSHED_MS} ms`);

  server.dropSockets();
  writer.write({ session_id, sequence_number: 6, content: "while the sockets are gone" });
  await within(PATIENCE_MS, "the message after the drop", Promise.all([reader.shows(6), show(6)]));
  await within(PATIENCE_MS, "the follower's word", reader.said("the connection to Realtime ended"));
  await within(PATIENCE_MS, "the follower's word", reader.saidTimes("changes are pushed by Realtime", 2));
  ok("sockets that are dropped cost nothing, are reported, and come back");

  reader.kill();
  const polling = await follow("--no-realtime");
  writer.write({ session_id, sequence_number: 7, content: "by polling" });
  await within(PATIENCE_MS, "the message by polling", polling.shows(7));
  assert.equal(polling.text(), "", "nothing to say");
  ok("a follower without Realtime goes on where the other one ended");
}

function ok(what) {
  passed++;
  console.log(`ok  ${what}`);
}

/** Several may wait for the same. */
function chained(one, other) {
  return () => {
    one();
    other();
  };
}

/** `levi pull --follow`, and what it has printed. */
async function follow(...options) {
  const reader = device("reader", "pull", "--follow", ...options);
  ends.push(() => reader.kill());
  const shown = new Set();
  let changed = () => {};
  reader.lines.on("line", (line) => {
    shown.add(JSON.parse(line).sequence_number);
    changed();
  });
  reader.hearing.on("data", () => changed());
  const until = async (condition) => {
    while (!condition()) await new Promise((resolve) => (changed = chained(changed, resolve)));
  };
  const follower = {
    kill: () => reader.kill(),
    text: () => reader.said(),
    shows: (number) => until(() => shown.has(number)),
    said: (text) => until(() => reader.said().includes(text)),
    saidTimes: (text, times) => until(() => reader.said().split(text).length > times),
  };
  if (options.length === 0) await within(PATIENCE_MS, "Realtime", follower.said("changes are pushed by Realtime"));
  return follower;
}

/** The viewer, with this browser added as a device. */
async function openPage() {
  const viewer = spawn(process.execPath, [fileURLToPath(new URL("../clients/viewer/serve.mjs", import.meta.url)), "0"]);
  ends.push(() => viewer.kill());
  const address = await new Promise((resolve) => createInterface({ input: viewer.stdout }).once("line", resolve));
  const browser = await chromium.launch({ executablePath: onPath(browserName), args: ["--no-sandbox"] });
  ends.push(() => browser.close());
  const page = await browser.newPage();
  page.setDefaultTimeout(PATIENCE_MS);
  page.on("pageerror", (error) => console.error(error.stack));
  await page.goto(address);
  const form = { "Project URL": server.url, "Publishable key": server.publishable_key, Email: user.email, Password: user.password };
  for (const [label, value] of Object.entries(form)) await page.getByLabel(label).fill(value);
  await page.getByRole("button", { name: "Sign in" }).click();
  await page.getByRole("button", { name: "Add without a code" }).click();
  await page.locator("#sessions").waitFor();
  return page;
}

/** playwright-core wants a path. */
function onPath(name) {
  const folders = process.env.PATH.split(delimiter);
  return [resolve(name), ...folders.map((folder) => join(folder, name))].find((path) => existsSync(path));
}
