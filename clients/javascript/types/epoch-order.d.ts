/**
 * Where the epochs of one session begin: by epoch the lowest sequence number. Version 1 is epoch 0, and begins nothing;
 * nor does a late message, because those with higher numbers may rightly be older. Nor does an epoch that a recovery has
 * cut off, whatever was noted of it before.
 */
export class EpochOrder {
    /**
     * @param {Record<string, string>} [lowest] what is known already
     * @param {object} [options]
     * @param {(epoch: number) => boolean} [options.isEpoch] whether the device list has the epoch now
     * @param {(lowest: Record<string, string>) => unknown} [options.onStart] hears of each start that is another
     */
    constructor(lowest?: Record<string, string>, { isEpoch, onStart }?: {
        isEpoch?: (epoch: number) => boolean;
        onStart?: (lowest: Record<string, string>) => unknown;
    });
    /** The epochs whose start the server was asked for, because rows lie before those that were read. */
    asked: Set<any>;
    /** Plain data. */
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
    note(epoch: number, number: string, order: import("./message-v2.js").Order): Promise<void>;
    /**
     * What was noted elsewhere.
     *
     * @param {Record<string, string>} lowest
     */
    merge(lowest: Record<string, string>): void;
    #private;
}
