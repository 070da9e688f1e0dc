/** Between two requests, from start to start, whatever a notifier says. */
export const APART_MS: 100;
/** At rest, unless the caller says otherwise. */
export const LONGEST_MS: 30000;
/**
 * @typedef {object} Wait
 * @property {number} leastMs nothing cuts this short
 * @property {number} mostMs a wake-up cuts this short
 */
export class Pace {
    /** @param {number} longestMs between two polls at rest, at least a second */
    constructor(longestMs?: number);
    longestMs: number;
    /**
     * After a poll that brought something.
     *
     * @returns {Wait}
     */
    came(): Wait;
    /**
     * After a poll that brought nothing.
     *
     * @param {{ pushed: boolean, waits: boolean }} now `pushed`: a notifier is connected; `waits`: a row waits for its key,
     *   which nobody pushes
     * @returns {Wait}
     */
    nothing({ pushed, waits }: {
        pushed: boolean;
        waits: boolean;
    }): Wait;
    /**
     * After a poll that failed.
     *
     * @param {{ retryAfterMs?: number }} error
     * @returns {Wait}
     */
    failed({ retryAfterMs }: {
        retryAfterMs?: number;
    }): Wait;
    #private;
}
export type Wait = {
    /**
     * nothing cuts this short
     */
    leastMs: number;
    /**
     * a wake-up cuts this short
     */
    mostMs: number;
};
