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
    sessions: Record<string, SessionState>;
};
