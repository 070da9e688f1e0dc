export class Follower {
    /**
     * @param {import("./reader.js").Reader} reader
     * @param {object} [options]
     * @param {string} [options.cursor] undefined begins at the oldest message
     * @param {AbortSignal} [options.signal] ends it
     * @param {number} [options.longestMs] the longest wait between two polls at rest, at least a second
     * @param {import("./realtime.js").Realtime} [options.notifier] wakes this follower, and no other; see `reader.realtime()`
     * @param {(error: unknown) => unknown} [options.onError] hears of each poll that failed, and may throw to end. A cursor
     *   that does not fit, and a project without a change feed, end it anyway, because asking again does not help
     * @param {() => unknown} [options.onPoll] hears of each poll that succeeded
     */
    constructor(reader: import("./reader.js").Reader, options?: {
        cursor?: string;
        signal?: AbortSignal;
        longestMs?: number;
        notifier?: import("./realtime.js").Realtime;
        onError?: (error: unknown) => unknown;
        onPoll?: () => unknown;
    });
    onError: (error: unknown) => unknown;
    onPoll: () => unknown;
    /** The longest wait between two polls at rest, from the next wait on. */
    set longestMs(ms: any);
    /** Something may have changed, or the network is back: polls now, but not before a time that the server asked for. */
    wake(): void;
    /**
     * Pages that hold something. The next poll begins after the page was dealt with, so that its cursor can be stored.
     *
     * @returns {AsyncGenerator<{ changes: import("./reader.js").Change[], cursor: string }>}
     */
    [Symbol.asyncIterator](): AsyncGenerator<{
        changes: import("./reader.js").Change[];
        cursor: string;
    }>;
    #private;
}
