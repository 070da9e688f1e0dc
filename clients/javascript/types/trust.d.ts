/** The same where something cannot be read that a later list, or a later keyring, may make readable. */
export const URGENT_MS: 5000;
/** The list as a whole is not as it must be. Nothing is delivered until it is. */
export class TrustError extends LeviError {
}
/**
 * What a device stores to notice a list that was cut short or rewritten. Not secret, but nobody else may change it.
 *
 * @typedef {object} Pin
 * @property {string} genesis
 * @property {import("./entry.js").ListRow[]} rows the accepted ones
 */
export class Trust {
    /**
     * @param {object} options
     * @param {import("./server.js").Server} options.server
     * @param {import("./reader.js").Device} options.device
     * @param {Pin} options.pin
     * @param {(pin: Pin) => unknown} [options.onPin] stores a list that has gone on
     * @param {() => number} [options.now] milliseconds
     */
    static restore({ server, device, pin, onPin, now }: {
        server: import("./server.js").Server;
        device: import("./reader.js").Device;
        pin: Pin;
        onPin?: (pin: Pin) => unknown;
        now?: () => number;
    }): Promise<Trust>;
    constructor({ server, device, list, onPin, now }: {
        server: any;
        device: any;
        list: any;
        onPin: any;
        now: any;
    });
    /** @type {import("./device-list.js").DeviceList} */
    list: import("./device-list.js").DeviceList;
    get pin(): {
        genesis: string;
        rows: import("./entry.js").ListRow[];
    };
    /**
     * Fetches the list, at most once a minute. Throws a TrustError such as `forked`, `rolled-back`, `unknown-kind`,
     * `removed` or `no-keyring`.
     */
    refresh(freshMs?: number): Promise<void>;
    /**
     * The secret of an epoch. A later one than is known makes this look for it, at most every five seconds.
     *
     * @param {number} epoch
     */
    epochSecret(epoch: number): Promise<Uint8Array<ArrayBufferLike>>;
    /** A text that is another when more may be readable. */
    get mark(): string;
    /** The key with which a device seals envelopes; removed members included. */
    senderKey(deviceId: any): string;
    #private;
}
/**
 * What a device stores to notice a list that was cut short or rewritten. Not secret, but nobody else may change it.
 */
export type Pin = {
    genesis: string;
    /**
     * the accepted ones
     */
    rows: import("./entry.js").ListRow[];
};
import { LeviError } from "./error.js";
