// How far a reader of the change feed has come. Its text can be stored, and holds no secret. Besides the number of the
// last change it has, for each session, what tells new messages from edited ones and which changes could not be read.

import { LeviError } from "./error.js";
import { splitAt } from "./runs.js";

/**
 * @typedef {object} SessionState
 * @property {string} [highest] the highest sequence number that could be read
 * @property {Record<string, string>} epochs of `EpochOrder`
 * @property {import("./runs.js").Run[]} [locked] the changes that could not be read
 * @property {boolean} [split] a change that could be read came after the last of them
 * @property {string} [tried] the `SessionKeys.mark` with which they could not be read
 * @property {boolean} [list] what is missing may come with the device list
 * @property {[string, string]} [trying] the mark with which they are read again, and the last change that was
 */

/**
 * @typedef {object} Cursor
 * @property {string} user
 * @property {string} after the last change that was delivered
 * @property {string} [since] where it began, if that was not the oldest message
 * @property {import("./landmarks.js").Landmark[]} [landmarks] rows that were delivered; the first version stored none
 * @property {Record<string, SessionState>} sessions in the order of their last changes
 * @property {boolean} [forgot] others were here
 */

/** Before all changes. */
export const START = "0";

/** About 100 bytes each. */
export const MOST_SESSIONS = 4_096;

/** @returns {Cursor} */
export const beginning = (user) => ({ user, after: START, sessions: {} });

/**
 * @param {string | undefined} text
 * @param {string} user
 * @returns {Cursor}
 */
export function parseCursor(text, user) {
  if (text === undefined) return beginning(user);
  let cursor;
  try {
    cursor = JSON.parse(text);
  } catch {
    throw new LeviError("bad-cursor", "that is no cursor of the change feed; begin without one");
  }
  const fits = cursor?.user === user && /^\d+$/.test(cursor.after) && isObject(cursor.sessions) && isList(cursor.landmarks);
  if (!fits) throw new LeviError("bad-cursor", "that cursor is of another user or version; begin without one");
  for (const session of Object.values(cursor.sessions)) {
    // As the first version stored it.
    if (typeof session.locked?.[0] === "string") session.locked = [session.locked];
  }
  return cursor;
}

const isList = (value) => value === undefined || Array.isArray(value);
const isObject = (value) => typeof value === "object" && value !== null;

/**
 * The state of a session that changes now, and so is forgotten last.
 *
 * @param {Cursor} cursor
 * @param {string} sessionId
 * @returns {SessionState}
 */
export function touched(cursor, sessionId) {
  const session = cursor.sessions[sessionId] ?? { epochs: {} };
  delete cursor.sessions[sessionId];
  return (cursor.sessions[sessionId] = session);
}

/**
 * Keeps the sessions that changed last, and before others those of which something could not be read.
 *
 * @param {Cursor} cursor
 */
export function forgetOldest(cursor, most = MOST_SESSIONS) {
  const ids = Object.keys(cursor.sessions);
  const isLocked = (id) => cursor.sessions[id].locked !== undefined;
  const [first, last] = [ids.filter((id) => !isLocked(id)), ids.filter(isLocked)];
  for (const id of [...first, ...last].slice(0, Math.max(ids.length - most, 0))) {
    delete cursor.sessions[id];
    cursor.forgot = true;
  }
}

/**
 * The server has another history after a change that was delivered. What is behind that is forgotten, but not which numbers
 * were delivered: those come as "edited".
 *
 * @param {Cursor} cursor
 * @param {string} change
 */
export function goBackTo(cursor, change) {
  cursor.after = change;
  if (change === START) delete cursor.since;
  else if (cursor.since !== undefined && BigInt(cursor.since) > BigInt(change)) cursor.since = change;
  for (const session of Object.values(cursor.sessions)) {
    if (!session.locked) continue;
    const [kept] = splitAt(session.locked, change);
    session.locked = kept.length > 0 ? kept : undefined;
    session.split = kept.length > 0 ? true : undefined;
    delete session.trying;
  }
}

/** @param {Cursor} cursor */
export const cursorText = (cursor) => JSON.stringify(cursor);
