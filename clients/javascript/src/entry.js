// Entries of the device list: what they say, their one encoding, and the rows that store them (docs/trust.md).
// Hashes and commitments are 32 bytes in base64.

import { Reader, concat, equalBytes, fromBase64, i64, lp, toBase64, u16, u32, u64, u8, utf8 } from "./bytes.js";
import { LeviError, check } from "./error.js";
import { checkId, encodeMember, readMember } from "./member.js";
import { ed25519Sign, sha256 } from "./primitives.js";

const LABEL = utf8("levi/device-list/v1");
const HASH_LABEL = utf8("levi/device-list-hash/v1");
const COMMIT_LABEL = utf8("levi/epoch-commit/v1");
const MAX_ENTRY_BYTES = 6144;

export const MAX_SLOT = 1999;
/** What a genesis has as `prev`. */
export const NO_HASH = toBase64(new Uint8Array(32));

/** The number of each kind in the encoding. */
const KINDS = { genesis: 1, add: 2, remove: 3, "new-recovery-key": 4, recover: 5 };

/**
 * @typedef {object} Rotation the beginning of an epoch
 * @property {number} epoch
 * @property {string} commitment
 */

/**
 * @typedef {object} Entry
 * @property {"genesis" | "add" | "remove" | "new-recovery-key" | "recover"} kind
 * @property {number} slot
 * @property {string} prev
 * @property {string} userId
 * @property {bigint} timeMs by the signer's clock; no rule depends on it
 * @property {string} signerId
 * @property {import("./member.js").Member} [device] in a genesis, "add" and "recover"
 * @property {import("./member.js").Member} [recovery] in a genesis and "new-recovery-key"
 * @property {string[]} [removed] in "remove", where it is one, and "recover"
 * @property {Rotation} [rotation] in all but "add"; in a genesis its epoch is 1
 */

/**
 * What each kind has after the common fields: how it is written and read, in this order.
 *
 * @type {Record<Entry["kind"], { write(entry: Entry): Uint8Array, read(reader: Reader): Partial<Entry> }>}
 */
const BODIES = {
  genesis: {
    write: ({ device, recovery, rotation }) =>
      concat(encodeMember(device), encodeMember(recovery), fromBase64(rotation.commitment)),
    read: (reader) => ({
      device: readMember(reader),
      recovery: readMember(reader),
      rotation: { epoch: 1, commitment: reader.base64(32) },
    }),
  },
  add: {
    write: ({ device }) => encodeMember(device),
    read: (reader) => ({ device: readMember(reader) }),
  },
  remove: {
    write: ({ removed, rotation }) => concat(lp(removed[0]), encodeRotation(rotation)),
    read: (reader) => ({ removed: [readId(reader)], rotation: readRotation(reader) }),
  },
  "new-recovery-key": {
    write: ({ recovery, rotation }) => concat(encodeMember(recovery), encodeRotation(rotation)),
    read: (reader) => ({ recovery: readMember(reader), rotation: readRotation(reader) }),
  },
  recover: {
    write: ({ removed, device, rotation }) =>
      concat(u16(removed.length), ...removed.map(lp), encodeMember(device), encodeRotation(rotation)),
    read: (reader) => ({
      removed: Array.from({ length: reader.u16() }, () => readId(reader)),
      device: readMember(reader),
      rotation: readRotation(reader),
    }),
  },
};

const encodeRotation = ({ epoch, commitment }) => concat(u32(epoch), fromBase64(commitment));

function readRotation(reader) {
  const epoch = reader.u32();
  check(epoch > 0, "malformed", "there is no epoch 0");
  return { epoch, commitment: reader.base64(32) };
}

function readId(reader) {
  const id = reader.text();
  checkId(id);
  return id;
}

/** @param {Entry} entry */
export function encodeEntry(entry) {
  const { kind, slot, prev, userId, timeMs, signerId } = entry;
  const header = [u8(KINDS[kind]), u64(slot), fromBase64(prev), lp(userId), i64(timeMs), lp(signerId)];
  return concat(LABEL, ...header, BODIES[kind].write(entry));
}

/**
 * @param {Uint8Array} bytes
 * @returns {Entry} an entry of an unknown kind has `kind: undefined` and no body
 */
export function decodeEntry(bytes) {
  check(bytes.length <= MAX_ENTRY_BYTES, "malformed", "an entry has at most 6,144 bytes");
  const reader = new Reader(bytes);
  check(equalBytes(reader.bytes(LABEL.length), LABEL), "malformed", "not an entry");
  const code = reader.u8();
  const kind = /** @type {Entry["kind"]} */ (Object.keys(KINDS).find((name) => KINDS[name] === code));
  const header = {
    kind,
    slot: reader.u64(),
    prev: reader.base64(32),
    userId: reader.text(),
    timeMs: reader.i64(),
    signerId: reader.text(),
  };
  checkId(header.userId);
  checkId(header.signerId);
  // Every later kind keeps these fields too, so that its signer is known.
  if (!kind) return header;
  const entry = { ...header, ...BODIES[kind].read(reader) };
  reader.end();
  check(equalBytes(encodeEntry(entry), bytes), "malformed", "not the one encoding of the entry");
  return entry;
}

/** The member who cosigns: the one whose keys the entry brings in. None in a removal. */
export const cosignerOf = ({ kind, device, recovery }) => (kind === "genesis" ? recovery : (device ?? recovery));

/** @param {Uint8Array} bytes */
export const hashOf = async (bytes) => toBase64(await sha256(HASH_LABEL, bytes));

/**
 * What an entry says about an epoch's secret without telling it.
 *
 * @param {string} genesis the hash of the genesis; NO_HASH for epoch 1, whose commitment is in the genesis itself
 * @param {number} epoch
 * @param {Uint8Array} secret
 */
export const commitmentTo = async (genesis, epoch, secret) =>
  toBase64(await sha256(COMMIT_LABEL, fromBase64(genesis), u32(epoch), secret));

/**
 * A row of `levi_device_list`. From the server its columns may hold anything.
 *
 * @typedef {object} ListRow
 * @property {number} slot
 * @property {string} entry
 * @property {string} signature
 * @property {string | null} cosignature
 */

/**
 * @param {Entry} entry
 * @param {import("./keys.js").MemberKeys} signer
 * @param {import("./keys.js").MemberKeys} [cosigner]
 * @returns {Promise<ListRow>}
 */
export async function signEntry(entry, signer, cosigner) {
  const bytes = encodeEntry(entry);
  const sign = async ({ signing }) => toBase64(await ed25519Sign(fromBase64(signing), bytes));
  const cosignature = cosigner ? await sign(cosigner) : null;
  return { slot: entry.slot, entry: toBase64(bytes), signature: await sign(signer), cosignature };
}

/**
 * A row whose columns are well formed, decoded. Nothing is verified.
 *
 * @typedef {object} SignedEntry
 * @property {ListRow} row
 * @property {Entry} entry
 * @property {Uint8Array} bytes
 * @property {string} hash
 * @property {Uint8Array} signature
 * @property {Uint8Array | null} cosignature
 */

/**
 * @param {ListRow} row
 * @returns {Promise<SignedEntry>}
 */
export async function decodeRow(row) {
  const bytes = fromBase64(row.entry);
  const signature = signatureFrom(row.signature);
  const cosignature = row.cosignature == null ? null : signatureFrom(row.cosignature);
  const entry = decodeEntry(bytes);
  // The slot is signed, so that the server cannot move an entry to the front of another.
  check(entry.slot === row.slot, "slot", "the entry belongs into another slot");
  return { row, entry, bytes, hash: await hashOf(bytes), signature, cosignature };
}

function signatureFrom(text) {
  const bytes = fromBase64(text);
  if (bytes.length !== 64) throw new LeviError("not-base64", "a signature is 64 bytes");
  return bytes;
}
