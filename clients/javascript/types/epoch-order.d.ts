/** What was read of one session: by epoch the lowest sequence number. Version 1 is epoch 0. Plain data. */
export class EpochOrder {
    /** @param {Record<string, string>} [lowest] */
    constructor(lowest?: Record<string, string>);
    lowest: {
        [x: string]: string;
    };
    /**
     * Throws `stale-epoch` where a message before this one has a newer epoch.
     *
     * @param {number} epoch
     * @param {string} number
     */
    check(epoch: number, number: string): void;
    /** A message that was opened. */
    note(epoch: any, number: any): void;
}
