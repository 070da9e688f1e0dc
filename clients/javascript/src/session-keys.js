// The keys of sessions, from the envelopes for this device. In memory only.

import { equalBytes, toBase64, utf8 } from "./bytes.js";
import { openEnvelope } from "./envelope.js";
import { LeviError, check } from "./error.js";
import { sha256 } from "./primitives.js";
import { parseSecret } from "./session-secret.js";

const NO_ENVELOPE = "none";

export class SessionKeys {
  #server;
  #device;
  #trust;
  /** @type {Map<string, Uint8Array[]>} the newest first: a session whose secret was replaced has two */
  #known = new Map();
  /** @type {Map<string, string>} the envelope that was there last, by session */
  #seen = new Map();

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

  /** The keys of a session that are known. */
  of(sessionId) {
    return this.#known.get(sessionId) ?? [];
  }

  /**
   * Opens the envelope that the server has now. Throws `no-envelope` until the session is shared with this device.
   *
   * @returns {Promise<boolean>} whether it gave another key
   */
  async fetch(sessionId) {
    const envelope = await this.#server.envelope(sessionId, this.#device.id);
    this.#seen.set(sessionId, await markOf(envelope));
    check(envelope, "no-envelope", "this device has no envelope for the session; share the session with it first");
    const key = parseSecret(await this.#open(sessionId, envelope));
    const known = this.of(sessionId);
    if (known.some((other) => equalBytes(other, key))) return false;
    this.#known.set(sessionId, [key, ...known]);
    return true;
  }

  /**
   * By session a text that is another when what could not be read of it may be readable: its envelope, the device list
   * or the keyring is another. One request for every 50 sessions.
   *
   * @param {string[]} sessionIds
   * @returns {Promise<Map<string, string>>}
   */
  async marks(sessionIds) {
    const envelopes = await this.#server.envelopes(sessionIds, this.#device.id);
    const bySession = new Map(envelopes.map((envelope) => [envelope.session_id, envelope]));
    for (const id of sessionIds) this.#seen.set(id, await markOf(bySession.get(id)));
    return new Map(sessionIds.map((id) => [id, this.mark(id)]));
  }

  /** That text for one session, as far as this reader has looked. */
  mark(sessionId) {
    return `${this.#seen.get(sessionId) ?? "?"} ${this.#trust?.mark ?? ""}`;
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

/** Tells one envelope from another. */
async function markOf(envelope) {
  if (!envelope) return NO_ENVELOPE;
  const { ephemeral_public_key, encrypted_secret, sender_device_id } = envelope;
  return toBase64(await sha256(utf8(JSON.stringify([ephemeral_public_key, encrypted_secret, sender_device_id])))).slice(0, 16);
}
