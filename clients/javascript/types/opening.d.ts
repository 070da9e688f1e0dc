/** Problems that may end when the device list or the keyring goes on. */
export const MISSING_IN_LIST: Set<string>;
/**
 * What was read of the sessions before this read: all that comes before its rows, or perhaps not all.
 *
 * @typedef {"everything" | "not-everything"} ReadBefore
 */
export class Opening {
    /**
     * @param {object} parts
     * @param {import("./server.js").Server} parts.server
     * @param {import("./trust.js").Trust} [parts.trust]
     * @param {import("./session-keys.js").SessionKeys} parts.keys
     * @param {import("./page-size.js").PageSize} parts.pageSize
     * @param {ReadBefore} parts.readBefore
     */
    constructor({ server, trust, keys, pageSize, readBefore }: {
        server: import("./server.js").Server;
        trust?: import("./trust.js").Trust;
        keys: import("./session-keys.js").SessionKeys;
        pageSize: import("./page-size.js").PageSize;
        readBefore: ReadBefore;
    });
    /**
     * One bad row does not hide the others. That the server does not answer, or shows another list, is no bad row.
     *
     * @param {import("./server.js").MessageRow} row
     * @param {import("./epoch-order.js").EpochOrder} order of its session
     * @returns {Promise<{ content?: string, problem?: string }>}
     */
    open(row: import("./server.js").MessageRow, order: import("./epoch-order.js").EpochOrder): Promise<{
        content?: string;
        problem?: string;
    }>;
    /** Makes sure that there is a key of the session. Throws `no-envelope` where there is none. */
    fill(sessionId: any): Promise<void>;
    #private;
}
/**
 * What was read of the sessions before this read: all that comes before its rows, or perhaps not all.
 */
export type ReadBefore = "everything" | "not-everything";
