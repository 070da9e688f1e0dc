// The programs of `clients` as new devices, and the command `levi pair --yes` as the old one: each is paired, reads what was
// sent before and after, is removed, and reads nothing that is sent then. A device with another fingerprint is told no.
//
//   node pairing.mjs LEVI FAKE_SUPABASE FOLDER CLIENTS NODE PYTHON

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { randomUUID } from "node:crypto";
import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { levi, signUp, startFake, within } from "./fake.mjs";

const [program, fake, folder, clients, node, python] = process.argv.slice(2);
const PATIENCE_MS = 60_000;

rmSync(folder, { recursive: true, force: true });
mkdirSync(folder, { recursive: true });
const server = await startFake(fake);
const user = await signUp(server);
const laptop = (...args) => levi(program, server, user, join(folder, "laptop"), args);
const session_id = randomUUID();
const sent = [];
const languages = [
  { name: "JavaScript", pair: [node, "javascript/examples/pair.mjs"], read: [node, "javascript/examples/read.mjs"] },
  { name: "Python", pair: [python, "python/pair.py"], read: [python, "python/read.py"] },
];
let passed = 0;
try {
  await laptop("login", "--password-stdin", "--device-name", "laptop").end(user.password);
  await laptop("init", "--name", "laptop", "--recovery-key-file", join(folder, "paper")).end();
  for (const language of languages) await within(4 * PATIENCE_MS, language.name, isPaired(language));
  console.log(`${passed} passed, 0 failed`);
} catch (error) {
  console.error(`FAILED  ${error.stack}`);
  process.exitCode = 1;
} finally {
  server.stop();
}

async function isPaired(language) {
  const { name } = language;
  await send(`before ${name}`);
  const refused = await pairs(language, () => "0000-0000");
  assert.notEqual(refused.old.status, 0, "another fingerprint is not added");
  assert.match(refused.client.err, /was told not to add/);
  ok(`${name} is told that the other device said no`);

  const { client, old } = await pairs(language, (fingerprint) => fingerprint);
  assert.deepEqual([client.status, old.status], [0, 0], client.err + old.err);
  const file = join(folder, `${name}.json`);
  writeFileSync(file, client.out);
  await send(`after ${name}`);
  const read = async () => program_(language.read, [session_id], { LEVI_DEVICE_FILE: file });
  const all = await read();
  assert.equal(all.status, 0, all.err);
  assert.deepEqual(contents(all.out), sent);
  ok(`${name} is paired by the command, and reads what was sent before and after`);

  await laptop("remove", name, "--yes").end();
  await send(`without ${name}`);
  const removed = await read();
  assert.notEqual(removed.status, 0, "a removed device says so");
  assert.ok(!contents(removed.out).includes(`without ${name}`));
  ok(`${name} is removed, and reads nothing more`);
}

/** One attempt to pair: the client shows its fingerprint, the command a code, which the client takes in. */
async function pairs(language, expected) {
  const started = start(language.pair, ["-", language.name]);
  const fingerprint = (await within(PATIENCE_MS, "the fingerprint", started.saying(/([0-9A-Z]{4}(-[0-9A-Z]{4}){3})/)))[1];
  const old = start([program], ["pair", "--json", "--yes", expected(fingerprint)], {
    LEVI_DATA_DIR: join(folder, "laptop"),
  });
  const code = JSON.parse(await within(PATIENCE_MS, "the code", old.line())).pairing_code;
  started.child.stdin.end(`${code}\n`);
  const [client, command] = await within(PATIENCE_MS, "pairing", Promise.all([started.ended, old.ended]));
  return { client, old: command };
}

/** A message of the laptop's. */
async function send(content) {
  sent.push(content);
  const line = { session_id, sequence_number: sent.length, content };
  await laptop("sync").end(`${JSON.stringify(line)}\n`);
}

function program_(command, args, env) {
  const started = start(command, args, env);
  started.child.stdin.end();
  return within(PATIENCE_MS, command[1], started.ended);
}

/** A program of `clients`, or the command. */
function start([executable, script], args, env = {}) {
  const settings = {
    SUPABASE_URL: server.url,
    SUPABASE_PUBLISHABLE_KEY: server.publishable_key,
    LEVI_URL: server.url,
    LEVI_PUBLISHABLE_KEY: server.publishable_key,
    LEVI_EMAIL: user.email,
    LEVI_PASSWORD: user.password,
  };
  const path = script === undefined ? [] : [join(clients, script)];
  const child = spawn(executable, [...path, ...args], { env: { ...process.env, ...settings, ...env } });
  const [out, err] = [[], []];
  child.stderr.on("data", (chunk) => err.push(chunk));
  const lines = createInterface({ input: child.stdout });
  const first = new Promise((resolve) => lines.once("line", resolve));
  lines.on("line", (line) => out.push(line));
  const said = () => Buffer.concat(err).toString();
  const ended = new Promise((resolve, reject) => {
    child.on("error", reject);
    child.on("close", (status) => resolve({ status, out: out.join("\n"), err: said() }));
  });
  const saying = (what) =>
    new Promise((resolve, reject) => {
      const look = () => what.exec(said()) && resolve(what.exec(said()));
      child.stderr.on("data", look);
      ended.then(() => reject(new Error(`it ended: ${said()}`)));
      look();
    });
  return { child, ended, saying, line: () => first };
}

function contents(lines) {
  return lines.split("\n").filter(Boolean).map((line) => JSON.parse(line).content);
}

function ok(what) {
  passed++;
  console.log(`ok  ${what}`);
}
