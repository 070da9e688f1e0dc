// A reader with a device list refuses messages of version 1 after those of version 2, and those of an older epoch after
// those of a newer one: else a removed device could go on writing behind newer rows.

import { check } from "./error.js";

/**
 * Where the epochs of one session begin: by epoch the lowest sequence number. Version 1 is epoch 0, and begins nothing;
 * nor does a late message, because those with higher numbers may rightly be older. Plain data.
 */
export class EpochOrder {
  /** @param {Record<string, string>} [lowest] */
  constructor(lowest = {}) {
    this.lowest = { ...lowest };
  }

  /**
   * Throws `stale-epoch` where a newer epoch begins before the message.
   *
   * @param {number} epoch
   * @param {string} number
   */
  check(epoch, number) {
    const newer = Object.entries(this.lowest).some(
      ([other, lowest]) => Number(other) > epoch && BigInt(lowest) < BigInt(number),
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
  note(epoch, number, order) {
    if (epoch === 0 || order === "late") return;
    const lowest = this.lowest[epoch];
    if (lowest === undefined || BigInt(number) < BigInt(lowest)) this.lowest[epoch] = number;
  }
}
