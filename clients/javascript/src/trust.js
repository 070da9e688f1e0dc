// What a device knows of its user's devices while it runs: the pinned list and the secrets of the epochs.

import { extendList, readList } from "./read-list.js";
import { LeviError, check } from "./error.js";
import { openKeyring } from "./keyring.js";

/** How long a list that was fetched is taken for current, in milliseconds. */
const FRESH_MS = 60_000;
/** The same where something cannot be read that a later list, or a later keyring, may make readable. */
export const URGENT_MS = 5_000;

/** The list as a whole is not as it must be. Nothing is delivered until it is. */
export class TrustError extends LeviError {}

/**
 * What a device stores to notice a list that was cut short or rewritten. Not secret, but nobody else may change it.
 *
 * @typedef {object} Pin
 * @property {string} genesis
 * @property {import("./entry.js").ListRow[]} rows the accepted ones
 */

export class Trust {
  /** @type {import("./keyring.js").Keyring} */
  #keyring = [];
  #fetchedAt = -Infinity;
  #server;
  #device;
  #onPin;
  #now;

  constructor({ server, device, list, onPin, now }) {
    this.#server = server;
    this.#device = device;
    /** @type {import("./device-list.js").DeviceList} */
    this.list = list;
    this.#onPin = onPin;
    this.#now = now;
  }

  /**
   * @param {object} options
   * @param {import("./server.js").Server} options.server
   * @param {import("./reader.js").Device} options.device
   * @param {Pin} options.pin
   * @param {(pin: Pin) => unknown} [options.onPin] stores a list that has gone on
   * @param {() => number} [options.now] milliseconds
   */
  static async restore({ server, device, pin, onPin = () => {}, now = () => performance.now() }) {
    const list = await readList(server.userId, pin.genesis, pin.rows);
    return new Trust({ server, device, list, onPin, now });
  }

  get pin() {
    return { genesis: this.list.genesis, rows: this.list.rows };
  }

  /**
   * Fetches the list, at most once a minute. Throws a TrustError such as `forked`, `rolled-back`, `unknown-kind`,
   * `removed` or `no-keyring`.
   */
  async refresh(freshMs = FRESH_MS) {
    if (this.#now() - this.#fetchedAt < freshMs) return;
    try {
      await this.#fetch();
    } catch (error) {
      throw error instanceof LeviError ? new TrustError(error.code, error.message) : error;
    }
  }

  async #fetch() {
    const list = await extendList(this.list, await this.#server.listRows());
    const changed = list.head !== this.list.head;
    this.list = list;
    if (changed) await this.#onPin(this.pin);
    const isMember = list.active.some(({ id }) => id === this.#device.id);
    check(isMember, "removed", "this device was removed from the device list");
    if (this.#keyring.length !== list.epoch) await this.#openKeyring();
    this.#fetchedAt = this.#now();
  }

  async #openKeyring() {
    const row = await this.#server.keyring(this.#device.id);
    check(row, "no-keyring", "the server has no keyring for this device");
    // Who begins an epoch writes the keyrings after the entry. Until then the earlier epochs go on.
    if (row.epoch < this.list.epoch && this.#keyring.length > 0) return;
    this.#keyring = await openKeyring(row, this.list, this.#device.id, this.#device.keys);
  }

  /**
   * The secret of an epoch. A later one than is known makes this look for it, at most every five seconds.
   *
   * @param {number} epoch
   */
  async epochSecret(epoch) {
    if (epoch > this.#keyring.length) await this.refresh(URGENT_MS);
    const secret = this.#keyring[epoch - 1];
    if (!secret) throw new LeviError("no-epoch", "this device does not have the secret of the message's epoch");
    return secret;
  }

  /** A text that is another when more may be readable. */
  get mark() {
    return `${this.list.head} ${this.#keyring.length}`;
  }

  /** The key with which a device seals envelopes; removed members included. */
  senderKey(deviceId) {
    return this.list.member(deviceId)?.keys.envelope;
  }
}
