/**
 * @param {Landmark[]} landmarks
 * @param {import("./server.js").ChangeNonce} row behind all of theirs
 * @returns {Landmark[]}
 */
export function withLandmark(landmarks: Landmark[], { change, content_nonce: nonce }: import("./server.js").ChangeNonce): Landmark[];
/**
 * Those that the server still has.
 *
 * @param {Landmark[]} landmarks
 * @param {import("./server.js").ChangeNonce[]} rows
 * @returns {Landmark[]}
 */
export function recognised(landmarks: Landmark[], rows: import("./server.js").ChangeNonce[]): Landmark[];
/**
 * A row that was delivered: its change, and the nonce that its writer drew for it. Session and number are not enough: what
 * is written after a restore may be of the same message.
 *
 * @typedef {[string, string]} Landmark
 */
/** So many of the last rows are kept, so that a few that are edited or deleted leave no gap. */
export const LAST_KEPT: 8;
/**
 * A row that was delivered: its change, and the nonce that its writer drew for it. Session and number are not enough: what
 * is written after a restore may be of the same message.
 */
export type Landmark = [string, string];
