// Reads the device list from the rows that the server shows, and compares it with the pinned one (docs/trust.md).

import { DeviceList } from "./device-list.js";
import { decodeRow } from "./entry.js";
import { LeviError, check } from "./error.js";
import { isSignedBy } from "./member.js";

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
  const stops = signer && counts && entry.userId === list.userId && (await isSignedBy(signer, signature, bytes));
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
