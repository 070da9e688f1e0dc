// The programs that read a session as a device on the list, in both languages.
//
//   LEVI_SERVER="$(...)" LEVI_PYTHON=python3 node --test test-server/

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { pair } from "../src/index.js";
import { owner } from "../testing/scene.js";
import { OldDevice, server, signUp } from "../testing/old-device.js";

const folder = mkdtempSync(join(tmpdir(), "levi-programs-"));
const path = (name) => fileURLToPath(new URL(name, import.meta.url));
const programs = {
  JavaScript: [process.execPath, path("../examples/read.mjs")],
  Python: [process.env.LEVI_PYTHON ?? "python3", path("../../python/read.py")],
};
let user, old, session, env;

before(async () => {
  user = await signUp();
  old = await OldDevice.begin(user);
  const { code, paired } = old.invite();
  let answered;
  const stored = await pair({ ...user, code, name: "reader", onRequested: (seen) => void (answered = paired(seen)) });
  await answered;
  const file = join(folder, "device.json");
  writeFileSync(file, JSON.stringify(stored));
  env = {
    ...process.env,
    SUPABASE_URL: server.url,
    SUPABASE_PUBLISHABLE_KEY: server.publishable_key,
    LEVI_EMAIL: user.account.email,
    LEVI_PASSWORD: user.account.password,
    LEVI_DEVICE_FILE: file,
  };
  session = await old.session();
  await old.write(session, 0, "version 1", 0);
  await old.write(session, 1, "version 2");
  await old.write(session, 2, "version 1 again", 0);
  await old.write(session, 3, "\u{1f600}");
});

after(() => rmSync(folder, { recursive: true }));

for (const [language, [program, script]] of Object.entries(programs)) {
  test(`${language} reads both versions, and refuses the older one after the newer`, async () => {
    const { code, texts, stderr } = await read(program, script, session);
    assert.equal(code, 2, stderr);
    assert.deepEqual(texts, ["version 1", "version 2", "\u{1f600}"]);
    assert.match(stderr, /message 2 could not be opened: stale-epoch/);
  });
}

test("what a thief began in an epoch that a recovery cut off makes no honest message stale, in no language", async () => {
  const robbed = await old.session();
  const phone = await lostPhone();
  const before = old.scene.list.head;
  await old.remove(phone.id);
  await old.write(robbed, 0, "by the thief");
  await old.write(robbed, 1, "honest", 1);
  const [epoch, secret] = [old.scene.list.epoch, old.scene.keyring.at(-1)];
  await old.recover(before);
  // A keyring may have the secret all the same.
  old.scene.keyring[epoch - 1] = secret;
  await old.keyrings();
  await old.write(robbed, 2, "after the recovery");
  for (const [program, script] of Object.values(programs)) {
    const { texts, stderr } = await read(program, script, robbed);
    assert.deepEqual(texts, ["by the thief", "honest", "after the recovery"], stderr);
  }
});

async function lostPhone() {
  const phone = await owner("phone");
  await old.scene.add(phone);
  await old.publish();
  return phone;
}

async function read(program, script, { id }) {
  const run = promisify(execFile)(program, [script, id], { env });
  const { code, stdout, stderr } = await run.then((done) => ({ code: 0, ...done }), (error) => error);
  return { code, stderr, texts: stdout.trim().split("\n").map((line) => JSON.parse(line).content) };
}
