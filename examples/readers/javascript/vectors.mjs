// Checks this reader against docs/vectors: every case, including those that must fail.
//
//   node vectors.mjs [DIRECTORY]

import assert from "node:assert/strict";
import { readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { xchacha20poly1305 } from "@noble/ciphers/chacha.js";
import * as levi from "./levi.mjs";

/** Version 2 and the signed device list, which these readers of version 1 know nothing of. */
const NOT_FOR_READERS = new Set(
  ["device-list.json", "keyring.json", "message-v2.json", "pairing.json", "recovery-key.json"]);
const directory = process.argv[2] ?? fileURLToPath(new URL("../../../docs/vectors/", import.meta.url));
const good = new Set(["opens", "parses", "accepted"]);
const ids = (v) => ({
  userId: v.user_id,
  sessionId: v.session_id,
  senderDeviceId: v.sender_device_id,
  recipientDeviceId: v.recipient_device_id,
});

/** By file: does what the case says, and throws where that fails or something else comes out. */
const checks = {
  "message.json": (v) => {
    const key = levi.parseSecret(v.session_secret);
    const content = levi.openMessage(key, v.session_id, v.sequence_number, v);
    assert.equal(content, v.content);
    const nonce = levi.fromBase64(v.content_nonce);
    const sealed = levi.sealMessage(key, v.session_id, v.sequence_number, content, nonce);
    assert.equal(sealed.content_encrypted, v.content_encrypted);
  },
  "session-secret.json": (v) => {
    const key = levi.parseSecret(v.text);
    assert.equal(levi.toBase64(key), v.key);
    assert.equal(levi.formatSecret(key), v.text);
  },
  "envelope.json": async (v) => {
    const secret = await levi.openEnvelope(v, ids(v), v.sender_public_key, v.recipient_private_key);
    levi.parseSecret(secret);
    assert.equal(secret, v.session_secret);
  },
  "device-key.json": async (v) => {
    const sender = levi.toBase64(new Uint8Array(32).fill(7));
    await levi.sealEnvelope("sess_", ids({}), sender, v.public_key);
    if (v.private_key) assert.equal(await levi.publicKeyOf(v.private_key), v.public_key);
  },
  // Never leaves the device that wrote it, so levi.mjs has no function for it.
  "at-rest.json": (v) => {
    const wrapped = levi.fromBase64(v.wrapped);
    const place = [v.table, v.row_key, v.column].map(levi.lp);
    const aad = new Uint8Array(Buffer.concat([Buffer.from("levi/at-rest/v1"), ...place]));
    const cipher = xchacha20poly1305(levi.fromBase64(v.database_key, 32), wrapped.subarray(0, 24), aad);
    assert.equal(levi.toBase64(cipher.decrypt(wrapped.subarray(24))), v.plain);
  },
};

let [passed, failed] = [0, 0];
for (const file of readdirSync(directory).filter((name) => name.endsWith(".json"))) {
  if (NOT_FOR_READERS.has(file)) continue;
  for (const vector of JSON.parse(readFileSync(join(directory, file), "utf8")).vectors) {
    const problem = await judge(checks[file], vector);
    problem ? failed++ : passed++;
    if (problem) console.error(`${file}: ${vector.name}: ${problem}`);
  }
}
console.log(`${passed} passed, ${failed} failed`);
process.exitCode = failed === 0 && passed > 0 ? 0 : 1;

async function judge(check, vector) {
  if (!check) return "no check for this file";
  const error = await Promise.resolve(vector).then(check).then(() => undefined, (error) => error);
  if (good.has(vector.expected)) return error && `must be "${vector.expected}", but ${error.message}`;
  if (!error) return `must be refused (${vector.expected})`;
  // A wrong answer or a bug in this file does not count as a refusal.
  const slip = error instanceof assert.AssertionError || error instanceof ReferenceError;
  return slip ? `must be refused (${vector.expected}), but ${error.message}` : undefined;
}
