// Checks that every program reads the device list, the keyring and the messages of version 2 that every other program
// wrote, and that every program pairs with every other. No server: what would be rows is handed over as JSON.
//
//   node trust.mjs participants.json
//
// participants.json is [{"name", "trust": [command...], "env": {...}, "cwd"}]. A command is called with the name of a
// role, and answers one line of JSON to each line that it is given:
//
//   write   {"reader": {"id", "keys"}, "session_id", "contents"}
//           -> {"user_id", "genesis", "rows", "keyring", "session_id", "session_secret", "messages", "list"}
//   read    that, with "reader", again and again   -> {"contents", "late", "list"}, or {"refused": why}
//   invite  (nothing)                              -> {"user_id", "code", "id"}
//           {"id", "request", "fingerprint"}       -> {"answer", "rows", "fingerprint"}
//           {"cosignature"}                        -> {"rows", "keyring", "secret", "list"}
//   join    {"device": {"id", "keys"}, "user_id", "code"} -> {"id", "request", "fingerprint"}
//           {"answer", "rows", "fingerprint"}      -> {"cosignature"}
//           {"rows", "keyring", "secret", "list"}  -> {"secret", "list"}
//
// Every second message is padded and late, the others are neither. "rows", "keyring" and "messages" are rows of the tables; "list" is as in docs/vectors/device-list.json; "keys" are the
// seeds of the three keys of a member, "secret" is that of the current epoch, all in base64.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { randomBytes, randomUUID } from "node:crypto";
import { readFileSync } from "node:fs";
import { createInterface } from "node:readline";

const participants = JSON.parse(readFileSync(process.argv[2], "utf8"));
const contents = ["", "Hello, world!", "\u{1f600} e\u0301 \u202e\ufeff\u2028 NUL \0 inside", "x".repeat(100_000), "\0\0", "bye"];

let [passed, failed] = [0, 0];

async function attempt(name, check) {
  try {
    await check();
    passed++;
    console.log(`ok  ${name}`);
  } catch (error) {
    failed++;
    console.error(`FAILED  ${name}: ${error.message}`);
  }
}

function newDevice() {
  const seed = () => randomBytes(32).toString("base64");
  return { id: randomUUID(), keys: { signing: seed(), envelope: seed(), keyring: seed() } };
}

/** What is written is read, and is refused after a change of one byte. */
async function handOver(writer, reader) {
  const device = newDevice();
  const [writing, reading] = [new Program(writer, "write"), new Program(reader, "read")];
  try {
    const scene = await writing.answer({ reader: device, session_id: randomUUID(), contents });
    const found = await reading.answer({ ...scene, reader: device });
    assert.deepEqual(found, { contents, late: contents.map((_, index) => index % 2 === 1), list: scene.list });
    assert.equal(found.list.epoch, 4);
    for (const [what, changed] of changes({ ...scene, reader: device })) {
      assert.ok((await reading.answer(changed)).refused, `a change in ${what} was not noticed`);
    }
  } finally {
    writing.stop();
    reading.stop();
  }
}

/** The scene with a byte changed in the middle of one column, for several columns. */
function* changes(scene) {
  for (const [what, at, column] of [
    ["rows", 0, "signature"],
    ["rows", scene.rows.length - 1, "cosignature"],
    ["keyring", undefined, "enc"],
    ["keyring", undefined, "sealed"],
    ["messages", 1, "content_encrypted"],
  ]) {
    const copy = structuredClone(scene);
    const row = at === undefined ? copy[what] : copy[what][at];
    const bytes = Buffer.from(row[column], "base64");
    bytes[bytes.length >> 1] ^= 1;
    row[column] = bytes.toString("base64");
    yield [`${what}.${column}`, copy];
  }
}

async function pair(old, fresh) {
  const device = newDevice();
  const [inviting, joining] = [new Program(old, "invite"), new Program(fresh, "join")];
  try {
    const shown = await inviting.next();
    const asked = await joining.answer({ device, user_id: shown.user_id, code: shown.code });
    assert.equal(asked.id, shown.id);
    const answered = await inviting.answer(asked);
    assert.equal(answered.fingerprint, asked.fingerprint);
    const cosigned = await joining.answer(answered);
    const added = await inviting.answer(cosigned);
    assert.deepEqual(await joining.answer(added), { secret: added.secret, list: added.list });
    assert.equal(added.list.members.at(-1).id, device.id);
  } finally {
    inviting.stop();
    joining.stop();
  }
}

/** A running participant in one role. */
class Program {
  #child;
  #lines;
  #errors = "";

  constructor({ name, trust: [command, ...args], env, cwd }, role) {
    this.name = name;
    this.#child = spawn(command, [...args, role], { env: { ...process.env, ...env }, cwd, timeout: 120_000 });
    this.#child.on("error", (error) => (this.#errors += error.message));
    this.#child.stderr.on("data", (chunk) => (this.#errors += chunk));
    this.#child.stdin.on("error", () => {}); // The program has ended; its lines have too.
    this.#lines = createInterface({ input: this.#child.stdout })[Symbol.asyncIterator]();
  }

  async next() {
    const { value, done } = await this.#lines.next();
    if (done) throw new Error(`${this.name} ended: ${this.#errors.slice(-1500)}`);
    return JSON.parse(value);
  }

  answer(line) {
    this.#child.stdin.write(`${JSON.stringify(line)}\n`);
    return this.next();
  }

  stop() {
    this.#child.stdin.end();
    this.#child.kill();
  }
}

for (const writer of participants) {
  for (const reader of participants) {
    await attempt(`${writer.name} -> ${reader.name}: list, keyring, messages`, () => handOver(writer, reader));
    await attempt(`${writer.name} adds ${reader.name}: pairing`, () => pair(writer, reader));
  }
}
console.log(`${passed} passed, ${failed} failed`);
process.exitCode = failed === 0 && passed > 0 ? 0 : 1;
