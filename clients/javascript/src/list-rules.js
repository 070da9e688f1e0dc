// The rules of the device list: what makes an entry valid on a head, but for its signatures (docs/trust.md).

import { MAX_SLOT, NO_HASH } from "./entry.js";
import { check } from "./error.js";
import { haveKeyInCommon } from "./keys.js";

const MAX_MEMBERS = 32;
const MAX_EPOCH = 1000;

/** By kind: throws where the entry's body is not valid on the list. */
export const RULES = {
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

export function checkGenesis(userId, entry) {
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

export function checkSlot(slot, head) {
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
