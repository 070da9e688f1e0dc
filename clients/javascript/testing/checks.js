// What to do with each case of docs/vectors, by file. A check throws a LeviError with the word that the case expects,
// or an AssertionError where something else comes out than the case says.

import assert from "node:assert/strict";
import { Reader, concat, fromBase64, lp, toBase64, utf8 } from "../src/bytes.js";
import { DeviceList } from "../src/device-list.js";
import { extendList, readList } from "../src/read-list.js";
import { decodeEntry, decodeRow } from "../src/entry.js";
import { deviceKeyOf, openEnvelope, parseDeviceKey, sealEnvelope } from "../src/envelope.js";
import { LeviError, check } from "../src/error.js";
import { openKeyring } from "../src/keyring.js";
import { publicKeysOf } from "../src/keys.js";
import { encodeMember, readMember } from "../src/member.js";
import { openMessage, sealMessage } from "../src/message.js";
import { epochMessageKey, openMessageV2, parseNonce, sealMessageV2 } from "../src/message-v2.js";
import { Join, openRequest } from "../src/pairing.js";
import { pairingKeys, parsePairingCode } from "../src/pairing-code.js";
import { NONCE_BYTES, TAG_BYTES, ed25519Sign, open } from "../src/primitives.js";
import { formatRecoveryKey, parseRecoveryKey, recoveryKeys } from "../src/recovery-key.js";
import { formatSecret, parseSecret } from "../src/session-secret.js";
import { described } from "./described.js";

/**
 * By file: `accepted` is the word of the cases that must pass, and `inputs` are the fields of such a case of which every
 * change must be noticed.
 */
export const FILES = {
  "message.json": {
    accepted: "opens",
    check: message,
    inputs: ["session_secret", "session_id", "content_encrypted", "content_nonce"],
  },
  "message-v2.json": {
    accepted: "opens",
    check: messageV2,
    inputs: ["session_secret", "session_id", "epoch_secret", "content_encrypted", "content_nonce"],
  },
  "session-secret.json": { accepted: "parses", check: sessionSecret, inputs: ["text"] },
  "envelope.json": {
    accepted: "opens",
    check: envelope,
    inputs: [
      ...["user_id", "session_id", "sender_device_id", "recipient_device_id", "sender_public_key"],
      ...["recipient_private_key", "ephemeral_public_key", "encrypted_secret"],
    ],
  },
  "device-key.json": { accepted: "accepted", check: deviceKey, inputs: [] },
  "at-rest.json": {
    accepted: "opens",
    check: atRest,
    inputs: ["database_key", "table", "row_key", "column", "wrapped"],
  },
  "device-list.json": { accepted: "reads", check: deviceList, inputs: ["user_id", "genesis"], rows: true },
  "keyring.json": {
    accepted: "opens",
    check: keyring,
    inputs: ["user_id", "genesis", "recipient_id", "recipient_seed", "enc", "sealed"],
    rows: true,
  },
  "pairing.json": {
    accepted: "pairs",
    check: pairing,
    inputs: ["user_id", "code", "messages.request", "messages.answer"],
  },
  "recovery-key.json": { accepted: "parses", check: recoveryKey, inputs: ["text"] },
};

function message(v) {
  const key = parseSecret(v.session_secret);
  const content = openMessage(key, v.session_id, v.sequence_number, v);
  assert.equal(content, v.content);
  const sealed = sealMessage(key, v.session_id, v.sequence_number, content, fromBase64(v.content_nonce));
  assert.equal(sealed.content_encrypted, v.content_encrypted);
}

async function messageV2(v) {
  const { epoch, nonce } = parseNonce(v.content_nonce);
  const key = await epochMessageKey(parseSecret(v.session_secret), v.session_id, epoch, fromBase64(v.epoch_secret));
  const { content, order } = openMessageV2(key, v.session_id, v.sequence_number, v);
  assert.equal(content, v.content);
  assert.equal(order, v.order ?? "rising");
  if (!v.padding) return;
  const sealed = sealMessageV2(key, v.session_id, v.sequence_number, content, { padding: v.padding, order, nonce });
  assert.deepEqual(sealed, { content_encrypted: v.content_encrypted, content_nonce: v.content_nonce });
}

function sessionSecret(v) {
  const key = parseSecret(v.text);
  assert.equal(toBase64(key), v.key);
  assert.equal(formatSecret(key), v.text);
}

async function envelope(v) {
  const ids = {
    userId: v.user_id,
    sessionId: v.session_id,
    senderDeviceId: v.sender_device_id,
    recipientDeviceId: v.recipient_device_id,
  };
  assert.equal(await openEnvelope(v, ids, v.sender_public_key, v.recipient_private_key), v.session_secret);
}

async function deviceKey(v) {
  assert.equal(toBase64(parseDeviceKey(v.public_key)), v.public_key);
  const ids = { userId: "", sessionId: "", senderDeviceId: "", recipientDeviceId: "" };
  await sealEnvelope("sess_", ids, toBase64(new Uint8Array(32).fill(7)), v.public_key);
  if (v.private_key) assert.equal(await deviceKeyOf(v.private_key), v.public_key);
}

/** Never leaves the device that wrote it, so the package has no function for it. */
function atRest(v) {
  const wrapped = fromBase64(v.wrapped);
  check(wrapped.length >= NONCE_BYTES + TAG_BYTES, "truncated", "shorter than nonce and tag");
  const aad = concat(utf8("levi/at-rest/v1"), lp(v.table), lp(v.row_key), lp(v.column));
  const nonce = wrapped.subarray(0, NONCE_BYTES);
  assert.equal(toBase64(open(fromBase64(v.database_key), nonce, aad, wrapped.subarray(NONCE_BYTES))), v.plain);
}

async function deviceList(v) {
  const list = v.pinned
    ? await extendList(await readList(v.user_id, v.genesis, v.pinned), v.rows)
    : await readList(v.user_id, v.genesis, v.rows);
  assert.deepEqual(await described(list), v.list);
  if (v.skipped) assert.equal(await whySkipped(list, v.rows.at(-1)), v.skipped);
  // What was accepted is read again as it was stored, which is what a device does at its start.
  assert.deepEqual(await described(await readList(v.user_id, v.genesis, list.rows)), v.list);
}

async function whySkipped(list, row) {
  try {
    await list.accept(await decodeRow(row));
  } catch (error) {
    if (error instanceof LeviError) return error.code;
    throw error;
  }
  return "accepted";
}

async function keyring(v) {
  const list = await readList(v.user_id, v.genesis, v.rows);
  assert.deepEqual(await described(list), v.list);
  const opened = await openKeyring(v, list, v.recipient_id, { keyring: v.recipient_seed });
  assert.deepEqual(opened.map((secret) => secret && toBase64(secret)), v.secrets);
}

async function pairing(v) {
  const code = await named("code", () => parsePairingCode(v.code));
  const keys = await pairingKeys(v.user_id, code);
  const { id, request, answer, ...expected } = v.messages;
  const { member, fresh } = await named("request", () => openRequest(keys, v.user_id, request));
  assert.equal(keys.rowId, id);
  assert.equal(toBase64(encodeMember(member)), expected.member);
  assert.equal(toBase64(fresh), expected.fresh);
  const join = await Join.begin(v.user_id, v.code, readMember(new Reader(fromBase64(expected.member))), fresh);
  const opened = await named("answer", () => join.openAnswer(answer));
  const found = { ...opened, entry: toBase64(opened.entry) };
  assert.deepEqual(found, { genesis: expected.genesis, head: expected.head, slot: expected.slot, entry: expected.entry });
  assert.equal(decodeEntry(opened.entry).kind, "add");
  assert.equal(toBase64(await ed25519Sign(fromBase64(expected.ed25519_seed), opened.entry)), expected.cosignature);
}

/** The words of pairing.json also say which of the three was refused. */
async function named(what, step) {
  try {
    return await step();
  } catch (error) {
    throw error instanceof LeviError ? new LeviError(`${what}-${error.code}`, error.message) : error;
  }
}

async function recoveryKey(v) {
  const key = parseRecoveryKey(v.text);
  const seeds = await recoveryKeys(key);
  const publicKeys = await publicKeysOf(seeds);
  assert.deepEqual(
    {
      key: toBase64(key),
      ed25519_seed: seeds.signing,
      x25519_private_key: seeds.envelope,
      xwing_seed: seeds.keyring,
      ed25519_public_key: publicKeys.signing,
      x25519_public_key: publicKeys.envelope,
      xwing_public_key: publicKeys.keyring,
    },
    v.keys,
  );
  assert.equal(toBase64(parseRecoveryKey(formatRecoveryKey(key))), v.keys.key);
}

/** The rows of the list that the case ends with. A change of any other row is no change of the list. */
export async function rowsOfTheList(v) {
  const list = await readList(v.user_id, v.genesis, v.rows);
  return v.rows.flatMap((row, at) => (list.rows.includes(row) ? [at] : []));
}
