// How far a reader of the change feed has come. Its text can be stored, and holds no secret. Besides the number of the
// last change it has, for each session, what tells new messages from edited ones and where unreadable ones begin.

import { LeviError } from "./error.js";

/**
 * @typedef {object} SessionState
 * @property {string} [highest] the highest sequence number that could be read
 * @property {Record<string, string>} epochs of `EpochOrder`
 * @property {[string, string]} [locked] the first and the last change for which this device had no key
 */

/**
 * @typedef {object} Cursor
 * @property {string} user
 * @property {string} after the last change that was delivered
 * @property {Record<string, SessionState>} sessions
 */

/** @returns {Cursor} */
export const beginning = (user) => ({ user, after: "0", sessions: {} });

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
  const fits = cursor?.user === user && /^\d+$/.test(cursor.after) && typeof cursor.sessions === "object";
  if (!fits) throw new LeviError("bad-cursor", "that cursor is of another user or version; begin without one");
  return cursor;
}

/** @param {Cursor} cursor */
export const cursorText = (cursor) => JSON.stringify(cursor);
