// Pairing: a device that is on the list shows a code, and the new device takes it in (docs/trust.md).

import { Reader, concat, equalBytes, fromBase64, lp, toBase64, u64, utf8 } from "./bytes.js";
import { readList } from "./read-list.js";
import { decodeEntry, hashOf } from "./entry.js";
import { check } from "./error.js";
import { encodeMember, readMember } from "./member.js";
import { NONCE_BYTES, ed25519Sign, open, randomBytes, seal } from "./primitives.js";
import { pairingKeys, parsePairingCode } from "./pairing-code.js";

export const FRESH_BYTES = 16;

/** Both messages: the key and the label of each. */
const parts = (keys, message, userId) => [keys[message], concat(utf8(`levi/pair/v1/${message}`), lp(userId))];

/** The column that holds a message. */
function sealPart(keys, message, userId, plain) {
  const [key, aad] = parts(keys, message, userId);
  const nonce = randomBytes(NONCE_BYTES);
  return toBase64(concat(nonce, seal(key, nonce, aad, plain)));
}

function openPart(keys, message, userId, column) {
  const [key, aad] = parts(keys, message, userId);
  const sealed = fromBase64(column);
  check(sealed.length >= NONCE_BYTES, "forged", "the message was cut off");
  return new Reader(open(key, sealed.subarray(0, NONCE_BYTES), aad, sealed.subarray(NONCE_BYTES)));
}

/**
 * Opens a request, on the device that shows the code. Its person compares the member's name and fingerprint with those
 * on the new device.
 *
 * @param {import("./pairing-code.js").PairingKeys} keys
 * @param {string} userId
 * @param {string} column
 */
export function openRequest(keys, userId, column) {
  const reader = openPart(keys, "request", userId, column);
  const member = readMember(reader);
  check(member.type === "device", "malformed", "only a device can be paired");
  const fresh = reader.bytes(FRESH_BYTES);
  reader.end();
  return { member, fresh };
}

/**
 * What the old device answers.
 *
 * @typedef {object} Answer
 * @property {string} genesis of the old device's list
 * @property {string} head of the old device's list
 * @property {number} slot of that head
 * @property {Uint8Array} entry that adds the new device
 */

/**
 * The answer, on the device that shows the code, after its person said yes.
 *
 * @param {import("./pairing-code.js").PairingKeys} keys
 * @param {string} userId
 * @param {Uint8Array} fresh of the request
 * @param {import("./device-list.js").DeviceList} list
 * @param {Uint8Array} entry the encoding of the entry that adds the new device
 */
export function sealAnswer(keys, userId, fresh, list, entry) {
  const place = [fromBase64(list.genesis), fromBase64(list.head), u64(list.slot)];
  return sealPart(keys, "answer", userId, concat(fresh, ...place, entry));
}

/** A new device that asks to be added. */
export class Join {
  #userId;
  #member;
  #keys;
  #fresh;

  constructor(userId, member, keys, fresh) {
    this.#userId = userId;
    this.#member = member;
    this.#keys = keys;
    this.#fresh = fresh;
  }

  /**
   * Begins with the code that the person typed or scanned. `member` is this device with its new keys.
   *
   * @param {string} userId
   * @param {string} code
   * @param {import("./member.js").Member} member
   */
  static async begin(userId, code, member, fresh = randomBytes(FRESH_BYTES)) {
    return new Join(userId, member, await pairingKeys(userId, parsePairingCode(code)), fresh);
  }

  /** The id of the row in `levi_pairings`. */
  get rowId() {
    return this.#keys.rowId;
  }

  /** The column `request` of that row. */
  request() {
    return sealPart(this.#keys, "request", this.#userId, concat(encodeMember(this.#member), this.#fresh));
  }

  /**
   * Opens the column `answer`, and checks that it answers this request and would add exactly this device.
   *
   * @param {string} column
   * @returns {Answer}
   */
  openAnswer(column) {
    const reader = openPart(this.#keys, "answer", this.#userId, column);
    check(equalBytes(reader.bytes(FRESH_BYTES), this.#fresh), "not-fresh", "the answer is to another request");
    check(!reader.isAtEnd, "declined", "the other device was told not to add this one");
    const answer = {
      genesis: reader.base64(32),
      head: reader.base64(32),
      slot: reader.u64(),
      entry: Uint8Array.from(reader.rest()),
    };
    const { kind, device, prev, userId } = decodeEntry(answer.entry);
    const addsThisDevice = kind === "add" && equalBytes(encodeMember(device), encodeMember(this.#member));
    const fits = addsThisDevice && prev === answer.head && userId === this.#userId;
    check(fits, "other-entry", "the other device would not add this device as it is; do not trust it");
    return answer;
  }

  /**
   * The column `cosignature`, after the list that the server shows was read up to the head that the old device named.
   *
   * @param {Answer} answer
   * @param {import("./entry.js").ListRow[]} rows
   * @param {import("./keys.js").MemberKeys} keys of this device
   */
  async cosign(answer, rows, keys) {
    const list = await this.#read(answer, rows);
    check(list.head === answer.head, "list-changed", "the device list has changed meanwhile; show a new code");
    list.check(decodeEntry(answer.entry));
    return toBase64(await ed25519Sign(fromBase64(keys.signing), answer.entry));
  }

  /**
   * The list to pin, once the old device has added this one. Until then it throws `not-added`.
   *
   * @param {Answer} answer
   * @param {import("./entry.js").ListRow[]} rows
   */
  async finish(answer, rows) {
    const list = await this.#read(answer, rows);
    const hash = await hashOf(answer.entry);
    const added = list.chain.some((link) => link.hash === hash);
    check(added, "not-added", "the other device has not added this one yet");
    return list;
  }

  async #read(answer, rows) {
    const list = await readList(this.#userId, answer.genesis, rows);
    check(list.hasSeen(answer.head), "other-list", "the server shows another list than the other device has");
    return list;
  }
}
