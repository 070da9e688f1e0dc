export class SessionKeys {
    /**
     * @param {import("./server.js").Server} server
     * @param {import("./reader.js").Device} device
     * @param {import("./trust.js").Trust} [trust] without one the senders' keys are the server's word
     */
    constructor(server: import("./server.js").Server, device: import("./reader.js").Device, trust?: import("./trust.js").Trust);
    /** The keys of a session that are known. */
    of(sessionId: any): Uint8Array<ArrayBufferLike>[];
    /**
     * Opens the envelope that the server has now. Throws `no-envelope` until the session is shared with this device.
     *
     * @returns {Promise<boolean>} whether it gave another key
     */
    fetch(sessionId: any): Promise<boolean>;
    /**
     * By session a text that is another when what could not be read of it may be readable: its envelope, the device list
     * or the keyring is another. One request for every 50 sessions.
     *
     * @param {string[]} sessionIds
     * @returns {Promise<Map<string, string>>}
     */
    marks(sessionIds: string[]): Promise<Map<string, string>>;
    /** That text for one session, as far as this reader has looked. */
    mark(sessionId: any): string;
    #private;
}
