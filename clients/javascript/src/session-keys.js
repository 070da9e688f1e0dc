// The keys of sessions, from the envelopes for this device. In memory only.

import { openEnvelope } from "./envelope.js";
import { LeviError, check } from "./error.js";
import { parseSecret } from "./session-secret.js";

export class SessionKeys {
  #server;
  #device;
  #trust;
  /** @type {Map<string, Uint8Array>} */
  #known = new Map();

  /**
   * @param {import("./server.js").Server} server
   * @param {import("./reader.js").Device} device
   * @param {import("./trust.js").Trust} [trust] without one the senders' keys are the server's word
   */
  constructor(server, device, trust) {
    this.#server = server;
    this.#device = device;
    this.#trust = trust;
  }

  /** Throws `no-envelope` until the session is shared with this device. */
  async of(sessionId) {
    const known = this.#known.get(sessionId);
    if (known) return known;
    const envelope = await this.#server.envelope(sessionId, this.#device.id);
    check(envelope, "no-envelope", "this device has no envelope for the session; share the session with it first");
    const key = parseSecret(await this.#open(sessionId, envelope));
    this.#known.set(sessionId, key);
    return key;
  }

  /**
   * Either the device in the row or the session's device may have sealed it: a row that another device wrote first
   * keeps that device when the session's device writes it again without one.
   */
  async #open(sessionId, envelope) {
    const owner = await this.#server.sessionOwner(sessionId);
    let failure;
    for (const senderDeviceId of new Set([envelope.sender_device_id ?? owner, owner])) {
      const ids = { userId: this.#server.userId, sessionId, senderDeviceId, recipientDeviceId: this.#device.id };
      try {
        return await openEnvelope(envelope, ids, await this.#senderKey(senderDeviceId), this.#device.keys.envelope);
      } catch (error) {
        if (!(error instanceof LeviError)) throw error; // The server did not answer.
        failure ??= error; // The first error is the more useful one.
      }
    }
    throw failure;
  }

  async #senderKey(deviceId) {
    const key = this.#trust ? this.#trust.senderKey(deviceId) : await this.#server.deviceKey(deviceId);
    check(key, "unknown-sender", "the device that sealed the envelope is not one of the user's devices");
    return key;
  }
}
