export class SessionKeys {
    /**
     * @param {import("./server.js").Server} server
     * @param {import("./reader.js").Device} device
     * @param {import("./trust.js").Trust} [trust] without one the senders' keys are the server's word
     */
    constructor(server: import("./server.js").Server, device: import("./reader.js").Device, trust?: import("./trust.js").Trust);
    /** Throws `no-envelope` until the session is shared with this device. */
    of(sessionId: any): Promise<Uint8Array<ArrayBufferLike>>;
    #private;
}
