/**
 * @param {string | undefined} text
 * @param {string} user
 * @returns {Cursor}
 */
export function parseCursor(text: string | undefined, user: string): Cursor;
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
     * the first and the last change for which this device had no key
     */
    locked?: [string, string];
};
export type Cursor = {
    user: string;
    /**
     * the last change that was delivered
     */
    after: string;
    sessions: Record<string, SessionState>;
};
