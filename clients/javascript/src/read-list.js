// Reads the device list from the rows that the server shows, and compares it with the pinned one (docs/trust.md).

import { DeviceList } from "./device-list.js";
import { decodeRow } from "./entry.js";
import { LeviError, check } from "./error.js";
import { isSignedBy } from "./member.js";

/**
 * Reads the list that begins with `genesis`. The first valid entry on the head is accepted; everything else is skipped,
 * because anybody with the user's token can write it. Without a pin: the server may have cut the list short.
 *
 * Throws `no-genesis`, or `unknown-kind` where a member signed an entry of a later version of Levi. Behind such an entry
 * of a device only a recovery is accepted, which cuts it off: the device may have been a thief's.
 *
 * @param {string} userId
 * @param {string} genesis
 * @param {import("./entry.js").ListRow[]} rows in any order
 */
export async function readList(userId, genesis, rows) {
  let list;
  let stopped = false;
  for (const signed of await candidates(rows)) {
    if (list && !signed.entry.kind) {
      stopped = (await stopsAt(list, signed)) || stopped;
    } else if (list && (!stopped || signed.entry.kind === "recover")) {
      const before = list;
      list = await list.accept(signed).catch(unlessRefused(before));
      if (list !== before) stopped = false;
    } else if (list) {
      continue;
    } else if (signed.hash === genesis) {
      list = await DeviceList.begin(userId, signed).catch(unlessRefused(undefined));
    }
  }
  check(list, "no-genesis", "the server shows no such device list");
  if (stopped) throw unknownKind();
  return list;
}

const unknownKind = () =>
  new LeviError("unknown-kind", "the device list goes on with an entry that this version does not know");

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
 * or the recovery key on any entry of the list. Throws for the recovery key, whose entries no recovery cuts off.
 */
async function stopsAt(list, { entry, bytes, signature }) {
  const signer = list.active.find(({ id }) => id === entry.signerId);
  const inList = list.chain.some(({ hash }) => hash === entry.prev);
  const counts = entry.prev === list.head || (signer?.type === "recovery" && inList);
  const stops = signer && counts && entry.userId === list.userId && (await isSignedBy(signer, signature, bytes));
  if (stops && signer.type === "recovery") throw unknownKind();
  return stops;
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
