/**
 * This device. `keys.envelope` is enough without a device list.
 *
 * @typedef {object} Device
 * @property {string} id of its row in `devices`
 * @property {import("./keys.js").MemberKeys} keys
 */
/**
 * One message as it was delivered: with its content, or with the reason why it cannot be read.
 *
 * @typedef {object} Change
 * @property {string} sessionId
 * @property {string} sequenceNumber 64 bits, as text
 * @property {string} [content]
 * @property {string} [problem] such as "forged", "no-envelope" or "stale-epoch"
 * @property {"new" | "edited" | "unlocked"} arrival "edited" is also a message that was written late; "unlocked" was
 *   delivered before as one that cannot be read
 */
/**
 * Keeps where the epochs of each session begin, so that a removed device cannot go on writing behind rows that it has
 * deleted. What it keeps is not secret, but nobody else may change it.
 *
 * @typedef {object} EpochStore
 * @property {(sessionId: string) => Promise<Record<string, string> | undefined>} load
 * @property {(sessionId: string, starts: Record<string, string>) => unknown} keep
 */
export class Reader {
    /**
     * @param {object} options
     * @param {import("@supabase/supabase-js").SupabaseClient} options.supabase signed in
     * @param {string} options.userId
     * @param {Device} options.device
     * @param {import("./trust.js").Pin} [options.pin] of the signed device list. Without one every row of `devices` is
     *   believed, so anyone who holds the user's token can add a device.
     * @param {(pin: import("./trust.js").Pin) => unknown} [options.onPin] stores a list that has gone on
     * @param {EpochStore} [options.epochStore] without one a reader knows where epochs begin from what it has read itself
     * @param {() => number} [options.now] milliseconds, for tests
     */
    static open({ supabase, userId, device, pin, onPin, epochStore, now }: {
        supabase: import("@supabase/supabase-js").SupabaseClient;
        userId: string;
        device: Device;
        pin?: import("./trust.js").Pin;
        onPin?: (pin: import("./trust.js").Pin) => unknown;
        epochStore?: EpochStore;
        now?: () => number;
    }): Promise<Reader>;
    /**
     * @param {Server} server
     * @param {Device} device
     * @param {Trust} [trust]
     * @param {EpochStore} [epochStore]
     */
    constructor(server: Server, device: Device, trust?: Trust, epochStore?: EpochStore);
    /**
     * The signed device list, if this reader has one.
     *
     * @returns {import("./device-list.js").DeviceList | undefined}
     */
    get list(): import("./device-list.js").DeviceList | undefined;
    /**
     * The user's sessions, by their last sign of life. All of it is the server's word.
     *
     * @returns {Promise<import("./server.js").SessionRow[]>}
     */
    sessions(): Promise<import("./server.js").SessionRow[]>;
    /**
     * The rows of `devices`, which are the server's word. `list` says whom to believe.
     *
     * @returns {Promise<import("./server.js").DeviceRow[]>}
     */
    devices(): Promise<import("./server.js").DeviceRow[]>;
    /** Whether the server shows a signed device list. A reader without a pin then reads nothing that is written under it. */
    hasList(): Promise<boolean>;
    /**
     * What changed since a cursor, over all sessions, in the order of the changes. Store the cursor after the changes are
     * dealt with: a page whose cursor was not stored is delivered again.
     *
     * @param {string} [cursor] undefined begins at the oldest message
     * @param {number} [limit]
     * @returns {Promise<import("./feed.js").ChangePage>} `more`: ask again at once; `waits`: something was delivered as
     *   unreadable, and may become readable without another change
     */
    changes(cursor?: string, limit?: number): Promise<import("./feed.js").ChangePage>;
    /** Supabase Realtime for one `Follower`: `new Follower(reader, { notifier: reader.realtime() })`. */
    realtime(): import("./realtime.js").Realtime;
    /** The cursor behind everything that is there now: `changes` then tells what is new from here on. */
    latest(): Promise<string>;
    /**
     * The cursor, or one further back if the project was restored from a backup: its numbers go on from lower ones, and what is
     * written then would be skipped. It goes back to the last row that was delivered and that the server still has in its
     * place, else to the oldest message. What was delivered before comes again then, as "edited". One request. A `Follower`
     * does this by itself; who calls `changes` does it at a start, after a failure and after a pause of more than a minute.
     *
     * @param {string} cursor
     * @returns {Promise<string>}
     */
    confirmed(cursor: string): Promise<string>;
    /**
     * The messages of one session in order, after a sequence number. Throws where the session's key is missing.
     *
     * @param {string} sessionId
     * @param {string} [after]
     * @returns {AsyncGenerator<Omit<Change, "arrival">>}
     */
    messages(sessionId: string, after?: string): AsyncGenerator<Omit<Change, "arrival">>;
    /**
     * A text that is another when messages of the session that could not be read may be readable now: the session was
     * shared, or the device list has gone on. One request.
     *
     * @param {string} sessionId
     * @returns {Promise<string>}
     */
    keyMark(sessionId: string): Promise<string>;
    #private;
}
/**
 * This device. `keys.envelope` is enough without a device list.
 */
export type Device = {
    /**
     * of its row in `devices`
     */
    id: string;
    keys: import("./keys.js").MemberKeys;
};
/**
 * One message as it was delivered: with its content, or with the reason why it cannot be read.
 */
export type Change = {
    sessionId: string;
    /**
     * 64 bits, as text
     */
    sequenceNumber: string;
    content?: string;
    /**
     * such as "forged", "no-envelope" or "stale-epoch"
     */
    problem?: string;
    /**
     * "edited" is also a message that was written late; "unlocked" was
     * delivered before as one that cannot be read
     */
    arrival: "new" | "edited" | "unlocked";
};
/**
 * Keeps where the epochs of each session begin, so that a removed device cannot go on writing behind rows that it has
 * deleted. What it keeps is not secret, but nobody else may change it.
 */
export type EpochStore = {
    load: (sessionId: string) => Promise<Record<string, string> | undefined>;
    keep: (sessionId: string, starts: Record<string, string>) => unknown;
};
import { Server } from "./server.js";
import { Trust } from "./trust.js";
