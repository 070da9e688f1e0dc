// A reader with a device list refuses messages of version 1 after those of version 2, and those of an older epoch after
// those of a newer one: else a removed device could go on writing behind newer rows.

import { check } from "./error.js";

/**
 * Where the epochs of one session begin: by epoch the lowest sequence number. Version 1 is epoch 0, and begins nothing;
 * nor does a late message, because those with higher numbers may rightly be older. Nor does an epoch that a recovery has
 * cut off, whatever was noted of it before.
 */
export class EpochOrder {
  #isEpoch;
  #onStart;
  /** The epochs whose start the server was asked for, because rows lie before those that were read. */
  asked = new Set();

  /**
   * @param {Record<string, string>} [lowest] what is known already
   * @param {object} [options]
   * @param {(epoch: number) => boolean} [options.isEpoch] whether the device list has the epoch now
   * @param {(lowest: Record<string, string>) => unknown} [options.onStart] hears of each start that is another
   */
  constructor(lowest = {}, { isEpoch = () => true, onStart = () => {} } = {}) {
    /** Plain data. */
    this.lowest = { ...lowest };
    this.#isEpoch = isEpoch;
    this.#onStart = onStart;
  }

  /**
   * Throws `stale-epoch` where a newer epoch begins before the message.
   *
   * @param {number} epoch
   * @param {string} number
   */
  check(epoch, number) {
    const newer = Object.entries(this.lowest).some(
      ([other, lowest]) => Number(other) > epoch && BigInt(lowest) < BigInt(number) && this.#isEpoch(Number(other)),
    );
    check(!newer, "stale-epoch", "an earlier message of the session has a newer epoch; a removed device may have written this");
  }

  /**
   * A message that was opened.
   *
   * @param {number} epoch
   * @param {string} number
   * @param {import("./message-v2.js").Order} order
   */
  async note(epoch, number, order) {
    if (epoch === 0 || order === "late" || !this.#isEpoch(epoch)) return;
    if (this.#lower(epoch, number)) await this.#onStart(this.lowest);
  }

  /**
   * What was noted elsewhere.
   *
   * @param {Record<string, string>} lowest
   */
  merge(lowest) {
    for (const [epoch, number] of Object.entries(lowest)) this.#lower(epoch, number);
  }

  #lower(epoch, number) {
    const lowest = this.lowest[epoch];
    const isLower = lowest === undefined || BigInt(number) < BigInt(lowest);
    if (isLower) this.lowest[epoch] = number;
    return isLower;
  }
}
