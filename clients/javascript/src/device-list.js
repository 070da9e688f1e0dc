// The signed device list: which entries are accepted, and which members there are after them (docs/trust.md).

import { fromBase64, utf8 } from "./bytes.js";
import { cosignerOf } from "./entry.js";
import { check } from "./error.js";
import { RULES, checkGenesis, checkSlot } from "./list-rules.js";
import { isSignedBy } from "./member.js";
import { sha256 } from "./primitives.js";

const MAX_ENTRIES = 1000;

/**
 * A member with its history.
 *
 * @typedef {object} ListMember
 * @property {import("./member.js").Member} member
 * @property {import("./entry.js").Entry} added by this entry
 * @property {import("./entry.js").Entry | undefined} removed by this entry, if it was
 */

/** A list after its accepted entries, the first of which is the genesis. It never changes: `accept` returns another. */
export class DeviceList {
  /** @type {import("./entry.js").SignedEntry[]} from the genesis to the head */
  #chain;
  /** @type {Set<string>} entries that were accepted once and that a recovery cut off */
  #superseded;
  /** @type {ListMember[]} in the order in which they were added, removed ones included */
  members;
  /** @type {import("./entry.js").Rotation[]} in ascending order; a recovery may leave gaps */
  rotations;
  /** @type {number} the last epoch of any entry seen, those included that were cut off */
  lastEpoch;

  constructor(chain, superseded, members, rotations, lastEpoch) {
    this.#chain = chain;
    this.#superseded = superseded;
    this.members = members;
    this.rotations = rotations;
    this.lastEpoch = lastEpoch;
  }

  /**
   * Begins a list with a genesis. Throws where it is not a valid one for the user.
   *
   * @param {string} userId
   * @param {import("./entry.js").SignedEntry} signed
   */
  static async begin(userId, signed) {
    const { entry } = signed;
    checkGenesis(userId, entry);
    await verify(signed, entry.device);
    return new DeviceList([], new Set(), [], [], 0).#push(signed);
  }

  get userId() {
    return this.#chain[0].entry.userId;
  }

  /** The hash of the genesis. It identifies the list. */
  get genesis() {
    return this.#chain[0].hash;
  }

  /** The hash of the last entry. */
  get head() {
    return this.#chain.at(-1).hash;
  }

  /** The slot of the last entry. */
  get slot() {
    return this.#chain.at(-1).entry.slot;
  }

  /** The current epoch. */
  get epoch() {
    return this.rotations.at(-1).epoch;
  }

  /** The accepted rows, for a device to keep as its pin. */
  get rows() {
    return this.#chain.map(({ row }) => row);
  }

  get chain() {
    return this.#chain;
  }

  /** Who is given secrets, the recovery key included. */
  get active() {
    return this.members.filter(({ removed }) => !removed).map(({ member }) => member);
  }

  get activeDevices() {
    return this.active.filter(({ type }) => type === "device");
  }

  /** The recovery key. Every list has one. */
  get recovery() {
    return this.active.find(({ type }) => type === "recovery");
  }

  /** The member with this id, removed ones included: whose envelopes may be opened. */
  member(id) {
    return this.members.find(({ member }) => member.id === id)?.member;
  }

  /** The commitment to an epoch's secret; undefined for an epoch that a recovery cut off. */
  commitment(epoch) {
    return this.rotations.find((rotation) => rotation.epoch === epoch)?.commitment;
  }

  /** Whether the entry is part of the list, or was before a recovery cut it off. */
  hasSeen(hash) {
    return this.#superseded.has(hash) || this.#chain.some((link) => link.hash === hash);
  }

  /** 32 digits for a person to compare on two devices: equal exactly if both have one history. */
  async verifyCode() {
    const hash = await sha256(utf8("levi/verify/v1"), fromBase64(this.genesis), fromBase64(this.head));
    const view = new DataView(hash.buffer);
    const groups = Array.from({ length: 8 }, (_, at) => view.getUint32(4 * at) % 10_000);
    return groups.map((group) => String(group).padStart(4, "0")).join(" ");
  }

  /**
   * The list with one more entry. Throws where the entry is not valid on the head.
   *
   * @param {import("./entry.js").SignedEntry} signed
   */
  async accept(signed) {
    const ancestor = this.#ancestorFor(signed.entry);
    const base = ancestor === undefined ? this : this.#cutOffAfter(ancestor);
    await verify(signed, base.check(signed.entry));
    return base.#push(signed);
  }

  /** Where a recovery cuts the list off: undefined on the head, where no entry is. */
  #ancestorFor({ kind, prev, signerId }) {
    if (prev === this.head) return undefined;
    const position = this.#chain.findIndex(({ hash }) => hash === prev);
    const isRecovery = kind === "recover" && signerId === this.recovery.id;
    check(position >= 0 && isRecovery, "not-on-head", "the entry does not follow the head");
    return position;
  }

  /** The list as it was after the entry at `position`, which still knows what it has seen. */
  #cutOffAfter(position) {
    const kept = this.#chain.slice(0, position + 1);
    const cut = this.#chain.slice(position + 1).map(({ hash }) => hash);
    const before = kept.reduce((list, signed) => list.#push(signed), new DeviceList([], new Set(), [], [], 0));
    const superseded = new Set([...this.#superseded, ...cut]);
    return new DeviceList(kept, superseded, before.members, before.rotations, this.lastEpoch);
  }

  /**
   * Checks everything about an entry on the head but its signatures. Returns the signer.
   *
   * @param {import("./entry.js").Entry} entry
   */
  check(entry) {
    check(entry.userId === this.userId, "user", "the entry belongs to another user");
    check(entry.prev === this.head, "not-on-head", "the entry does not follow the head");
    checkSlot(entry.slot, this.slot);
    check(this.#chain.length < MAX_ENTRIES, "full", "the list has 1,000 entries");
    const signer = this.active.find(({ id }) => id === entry.signerId);
    check(signer, "signer-not-active", "the signer is not an active member");
    check(RULES[entry.kind], entry.kind ? "not-on-head" : "unknown-kind", "no entry of this kind goes on a list");
    RULES[entry.kind](this, entry, signer);
    return signer;
  }

  /** Adds an entry that was checked. */
  #push(signed) {
    const { entry } = signed;
    const { kind, device, recovery, rotation } = entry;
    const leaving = new Set(kind === "new-recovery-key" ? [entry.signerId] : (entry.removed ?? []));
    const members = this.members.map((known) =>
      !known.removed && leaving.has(known.member.id) ? { ...known, removed: entry } : known,
    );
    const coming = [device, recovery].filter(Boolean).map((member) => ({ member, added: entry, removed: undefined }));
    return new DeviceList(
      [...this.#chain, signed],
      this.#superseded,
      [...members, ...coming],
      rotation ? [...this.rotations, rotation] : this.rotations,
      Math.max(this.lastEpoch, rotation?.epoch ?? 0),
    );
  }
}

/** Both signatures of an entry. */
async function verify({ entry, bytes, signature, cosignature }, signer) {
  check(await isSignedBy(signer, signature, bytes), "signature", "the entry's signature does not verify");
  const cosigner = cosignerOf(entry);
  if (!cosigner) return check(!cosignature, "unexpected-cosignature", "the entry has a cosignature, but its kind has none");
  const cosigned = cosignature && (await isSignedBy(cosigner, cosignature, bytes));
  check(cosigned, "cosignature", "the new member's cosignature is missing or does not verify");
}
