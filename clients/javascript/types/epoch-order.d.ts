/**
 * Where the epochs of one session begin: by epoch the lowest sequence number. Version 1 is epoch 0, and begins nothing;
 * nor does a late message, because those with higher numbers may rightly be older. Plain data.
 */
export class EpochOrder {
    /** @param {Record<string, string>} [lowest] */
    constructor(lowest?: Record<string, string>);
    lowest: {
        [x: string]: string;
    };
    /**
     * Throws `stale-epoch` where a newer epoch begins before the message.
     *
     * @param {number} epoch
     * @param {string} number
     */
    check(epoch: number, number: string): void;
    /**
     * A message that was opened.
     *
     * @param {number} epoch
     * @param {string} number
     * @param {import("./message-v2.js").Order} order
     */
    note(epoch: number, number: string, order: import("./message-v2.js").Order): void;
}
