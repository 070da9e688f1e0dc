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
export function readList(userId: string, genesis: string, rows: import("./entry.js").ListRow[]): Promise<any>;
/**
 * Reads the rows that the server shows now, and checks that they continue the pinned list.
 *
 * Throws `rolled-back`, `forked` or `unknown-kind`. The device then goes on with the pinned list and seals nothing.
 *
 * @param {DeviceList} pinned
 * @param {import("./entry.js").ListRow[]} rows all of the user's
 */
export function extendList(pinned: DeviceList, rows: import("./entry.js").ListRow[]): Promise<any>;
/** The hash of every valid genesis among the rows. Anybody with the user's token can begin a list of their own. */
export function geneses(userId: any, rows: any): Promise<any[]>;
import { DeviceList } from "./device-list.js";
