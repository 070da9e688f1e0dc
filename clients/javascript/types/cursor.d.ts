/**
 * @param {string | undefined} text
 * @param {string} user
 * @returns {Cursor}
 */
export function parseCursor(text: string | undefined, user: string): Cursor;
/**
 * The state of a session that changes now, and so is forgotten last.
 *
 * @param {Cursor} cursor
 * @param {string} sessionId
 * @returns {SessionState}
 */
export function touched(cursor: Cursor, sessionId: string): SessionState;
/**
 * Keeps the sessions that changed last, and before others those of which something could not be read.
 *
 * @param {Cursor} cursor
 */
export function forgetOldest(cursor: Cursor, most?: number): void;
/**
 * The server has another history after a change that was delivered. What is behind that is forgotten, but not which numbers
 * were delivered: those come as "edited".
 *
 * @param {Cursor} cursor
 * @param {string} change
 */
export function goBackTo(cursor: Cursor, change: string): void;
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
export const START: "0";
/** About 100 bytes each. */
export const MOST_SESSIONS: 4096;
export function beginning(user: any): Cursor;
export function cursorText(cursor: Cursor): string;
export type SessionState = {
    /**
     * the highest sequence number that could be read
     */
    highest?: string;
    /**
     * of `EpochOrder`
     */
    epochs: Record<string, string>;
    /**
     * the changes that could not be read
     */
    locked?: import("./runs.js").Run[];
    /**
     * a change that could be read came after the last of them
     */
    split?: boolean;
    /**
     * the `SessionKeys.mark` with which they could not be read
     */
    tried?: string;
    /**
     * what is missing may come with the device list
     */
    list?: boolean;
    /**
     * the mark with which they are read again, and the last change that was
     */
    trying?: [string, string];
};
export type Cursor = {
    user: string;
    /**
     * the last change that was delivered
     */
    after: string;
    /**
     * where it began, if that was not the oldest message
     */
    since?: string;
    /**
     * rows that were delivered; the first version stored none
     */
    landmarks?: import("./landmarks.js").Landmark[];
    /**
     * in the order of their last changes
     */
    sessions: Record<string, SessionState>;
    /**
     * others were here
     */
    forgot?: boolean;
};
