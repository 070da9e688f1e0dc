// Some of the rows that a cursor has delivered, by which the server's change feed is recognised. A project that was restored
// from a backup has other rows at their places, or none, after the end of the backup.

/**
 * A row that was delivered: its change, and the nonce that its writer drew for it. Session and number are not enough: what
 * is written after a restore may be of the same message.
 *
 * @typedef {[string, string]} Landmark
 */

/** So many of the last rows are kept, so that a few that are edited or deleted leave no gap. */
export const LAST_KEPT = 8;
/** Of those before, the distances grow with their age. About 50 bytes each. */
const MOST_LANDMARKS = 24;
/** Of either version. What else somebody writes in that column could be of any length. */
const NONCE = /^[\w:+/=]{1,64}$/;

/**
 * @param {Landmark[]} landmarks
 * @param {import("./server.js").ChangeNonce} row behind all of theirs
 * @returns {Landmark[]}
 */
export function withLandmark(landmarks, { change, content_nonce: nonce }) {
  if (typeof nonce !== "string" || !NONCE.test(nonce)) return landmarks;
  const all = /** @type {Landmark[]} */ ([...landmarks, [change, nonce]]);
  return all.length <= MOST_LANDMARKS ? all : all.toSpliced(leastMissed(all), 1);
}

/** Without it the distance between its neighbours is the smallest in proportion to their age. The first one stays. */
function leastMissed(landmarks) {
  const change = (at) => BigInt(landmarks[at][0]);
  const end = change(landmarks.length - 1);
  const gap = (at) => Number(change(at + 1) - change(at - 1)) / Number(end - change(at));
  let least = 1;
  for (let at = 2; at < landmarks.length - LAST_KEPT; at++) if (gap(at) < gap(least)) least = at;
  return least;
}

/**
 * Those that the server still has.
 *
 * @param {Landmark[]} landmarks
 * @param {import("./server.js").ChangeNonce[]} rows
 * @returns {Landmark[]}
 */
export function recognised(landmarks, rows) {
  const nonces = new Map(rows.map(({ change, content_nonce }) => [change, content_nonce]));
  return landmarks.filter(([change, nonce]) => nonces.get(change) === nonce);
}
