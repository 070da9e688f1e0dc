// The signed device list: which entries are accepted, and which members there are after them (docs/trust.md).

import { MAX_SLOT, NO_HASH, cosignerOf, decodeRow } from "./entry.js";
import { LeviError, check } from "./error.js";
import { haveKeyInCommon } from "./keys.js";
import { fromBase64, utf8 } from "./bytes.js";
import { ed25519Verify, sha256 } from "./primitives.js";

const MAX_MEMBERS = 32;
const MAX_ENTRIES = 1000;
const MAX_EPOCH = 1000;

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

/** By kind: throws where the entry's body is not valid on the list. */
const RULES = {
  add(list, { device }, signer) {
    checkSigner(signer, "device");
    checkNew(list, device, "device");
    checkRoom(list, 0);
  },
  remove(list, { removed, rotation }, signer) {
    checkSigner(signer, "device");
    checkRemovals(list, removed);
    check(list.activeDevices.length > 1, "last-device", "the last device cannot be removed");
    checkNextEpoch(list, rotation);
  },
  "new-recovery-key"(list, { recovery, rotation }, signer) {
    checkSigner(signer, "recovery");
    checkNew(list, recovery, "recovery");
    checkNextEpoch(list, rotation);
  },
  recover(list, { removed, device, rotation }, signer) {
    checkSigner(signer, "recovery");
    checkRemovals(list, removed);
    checkNew(list, device, "device");
    checkRoom(list, removed.length);
    checkEpoch(rotation, rotation.epoch > list.lastEpoch);
  },
};

function checkGenesis(userId, entry) {
  const { kind, prev, signerId, device, recovery } = entry;
  check(kind === "genesis" && prev === NO_HASH, "not-on-head", "a list begins with a genesis");
  check(entry.userId === userId, "user", "the entry belongs to another user");
  checkSlot(entry.slot, -1);
  check(signerId === device.id, "signer-not-active", "the first device signs the genesis");
  checkType(device, "device");
  checkType(recovery, "recovery");
  check(device.id !== recovery.id, "id-taken", "two members with one id");
  check(!haveKeyInCommon(device.keys, recovery.keys), "key-taken", "two members with one key");
}

function checkSlot(slot, head) {
  check(slot > head && slot <= MAX_SLOT, "slot", "the entry's slot is not a later one");
}

function checkType(member, type) {
  check(member.type === type, "member-type", `the new member is not a ${type}`);
}

function checkSigner(signer, type) {
  check(signer.type === type, "signer-type", "the signer may not sign this kind of entry");
}

/** No id and no key is ever used twice. */
function checkNew(list, member, type) {
  checkType(member, type);
  check(!list.member(member.id), "id-taken", "the list has or had a member with this id");
  const taken = list.members.some((known) => haveKeyInCommon(known.member.keys, member.keys));
  check(!taken, "key-taken", "the list has or had a member with the same key");
}

function checkRoom(list, removals) {
  check(list.active.length + 1 - removals <= MAX_MEMBERS, "full", "the list has 32 active members");
}

function checkRemovals(list, removed) {
  const devices = new Set(list.activeDevices.map(({ id }) => id));
  for (const id of removed) check(devices.delete(id), "not-a-device", "what is removed is not an active device");
}

function checkNextEpoch(list, rotation) {
  checkEpoch(rotation, rotation.epoch === list.lastEpoch + 1);
}

function checkEpoch({ epoch }, follows) {
  check(follows && epoch <= MAX_EPOCH, "epoch", "the epoch does not follow the last one");
}

/** Both signatures of an entry. */
async function verify({ entry, bytes, signature, cosignature }, signer) {
  check(await signed(signer, signature, bytes), "signature", "the entry's signature does not verify");
  const cosigner = cosignerOf(entry);
  if (!cosigner) return check(!cosignature, "unexpected-cosignature", "the entry has a cosignature, but its kind has none");
  const cosigned = cosignature && (await signed(cosigner, cosignature, bytes));
  check(cosigned, "cosignature", "the new member's cosignature is missing or does not verify");
}

const signed = (member, signature, bytes) => ed25519Verify(fromBase64(member.keys.signing), signature, bytes);

/**
 * Reads the list that begins with `genesis`. The first valid entry on the head is accepted; everything else is skipped,
 * because anybody with the user's token can write it. Without a pin: the server may have cut the list short.
 *
 * Throws `no-genesis`, or `unknown-kind` where a member signed an entry of a later version of Levi.
 *
 * @param {string} userId
 * @param {string} genesis
 * @param {import("./entry.js").ListRow[]} rows in any order
 */
export async function readList(userId, genesis, rows) {
  let list;
  for (const signed of await candidates(rows)) {
    if (list) {
      if (!signed.entry.kind) await stopAtUnknown(list, signed);
      list = await list.accept(signed).catch(unlessRefused(list));
    } else if (signed.hash === genesis) {
      list = await DeviceList.begin(userId, signed).catch(unlessRefused(undefined));
    }
  }
  check(list, "no-genesis", "the server shows no such device list");
  return list;
}

/** What is refused is skipped. An error that is none of ours is a bug, and is not. */
const unlessRefused = (instead) => (error) => {
  if (error instanceof LeviError) return instead;
  throw error;
};

/** The rows that may be entries, by slot. */
async function candidates(rows) {
  const decoded = await Promise.all(rows.map((row) => decodeRow(row).catch(unlessRefused(undefined))));
  return decoded.filter(Boolean).sort((a, b) => a.entry.slot - b.entry.slot);
}

/**
 * An entry of an unknown kind may remove a device, if a member signed it where it counts: an active member on the head,
 * or the recovery key on any entry of the list.
 */
async function stopAtUnknown(list, { entry, bytes, signature }) {
  const signer = list.active.find(({ id }) => id === entry.signerId);
  const inList = list.chain.some(({ hash }) => hash === entry.prev);
  const counts = entry.prev === list.head || (signer?.type === "recovery" && inList);
  const stops = signer && counts && entry.userId === list.userId && (await signed(signer, signature, bytes));
  check(!stops, "unknown-kind", "the device list goes on with an entry that this version does not know");
}

/**
 * Reads the rows that the server shows now, and checks that they continue the pinned list.
 *
 * Throws `rolled-back`, `forked` or `unknown-kind`. The device then goes on with the pinned list and seals nothing.
 *
 * @param {DeviceList} pinned
 * @param {import("./entry.js").ListRow[]} rows all of the user's
 */
export async function extendList(pinned, rows) {
  let shown;
  try {
    shown = await readList(pinned.userId, pinned.genesis, rows);
  } catch (error) {
    if (!(error instanceof LeviError) || error.code !== "no-genesis") throw error;
    const another = (await geneses(pinned.userId, rows)).length > 0;
    throw another ? forked() : rolledBack();
  }
  if (shown.hasSeen(pinned.head)) return shown;
  const common = pinned.chain.findIndex(({ hash }, at) => shown.chain[at]?.hash !== hash);
  const other = shown.chain[common];
  if (!other) throw rolledBack();
  if (!cutsOff(pinned, other.entry)) throw forked();
  return shown;
}

const forked = () =>
  new LeviError("forked", "the server shows a device list that differs from this device's; compare `levi verify`");
const rolledBack = () =>
  new LeviError("rolled-back", "the server shows a device list that ends before what this device has seen");

/** A recovery by the recovery key of the pinned history, above every epoch seen. Its signature was verified. */
const cutsOff = (pinned, { kind, signerId, rotation }) =>
  kind === "recover" && signerId === pinned.recovery.id && rotation.epoch > pinned.lastEpoch;

/** The hash of every valid genesis among the rows. Anybody with the user's token can begin a list of their own. */
export async function geneses(userId, rows) {
  const found = [];
  for (const signed of await candidates(rows)) {
    const list = await DeviceList.begin(userId, signed).catch(unlessRefused(undefined));
    if (list) found.push(list.genesis);
  }
  return found;
}
