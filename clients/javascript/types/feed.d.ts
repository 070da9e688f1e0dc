/**
 * What a reader keeps from one read to the next.
 *
 * @typedef {object} Turns
 * @property {number} session of those that wait for a key, the one that is asked about next
 * @property {boolean} newFirst reading something again failed, so what is new is read before the next attempt
 */
/**
 * @typedef {object} Parts
 * @property {import("./server.js").Server} server
 * @property {import("./trust.js").Trust} [trust]
 * @property {import("./session-keys.js").SessionKeys} keys
 * @property {import("./page-size.js").PageSize} pageSize
 * @property {(sessionId: string) => Promise<import("./epoch-order.js").EpochOrder>} orderOf
 * @property {Turns} turns
 */
/** @typedef {{ changes: import("./reader.js").Change[], cursor: string, more: boolean, waits: boolean }} ChangePage */
/**
 * What can be read by now of what came before, else what is new. An attempt that fails at what came before keeps no new
 * message back: what is new is read then, at once or, if the server asks for a wait, first thing in the next read.
 *
 * @param {Feed} feed
 * @param {() => Feed} beginAgain another read at the same cursor
 * @param {Turns} turns
 * @param {number} limit
 * @returns {Promise<ChangePage>}
 */
export function readFeed(feed: Feed, beginAgain: () => Feed, turns: Turns, limit: number): Promise<ChangePage>;
export class Feed {
    /**
     * @param {Parts} parts
     * @param {import("./cursor.js").Cursor} state
     */
    constructor(parts: Parts, state: import("./cursor.js").Cursor);
    /** @returns {ChangePage} */
    page(changes: any): ChangePage;
    /** What changed past the cursor. */
    next(limit: any): Promise<import("./reader.js").Change[]>;
    /** What could not be read and can be now, of the first session that has such. */
    unlock(limit: any): Promise<import("./reader.js").Change[]>;
    #private;
}
/**
 * What a reader keeps from one read to the next.
 */
export type Turns = {
    /**
     * of those that wait for a key, the one that is asked about next
     */
    session: number;
    /**
     * reading something again failed, so what is new is read before the next attempt
     */
    newFirst: boolean;
};
export type Parts = {
    server: import("./server.js").Server;
    trust?: import("./trust.js").Trust;
    keys: import("./session-keys.js").SessionKeys;
    pageSize: import("./page-size.js").PageSize;
    orderOf: (sessionId: string) => Promise<import("./epoch-order.js").EpochOrder>;
    turns: Turns;
};
export type ChangePage = {
    changes: import("./reader.js").Change[];
    cursor: string;
    more: boolean;
    waits: boolean;
};
