// A reader with a device list refuses messages of version 1 after those of version 2, and those of an older epoch after
// those of a newer one: else a removed device could go on writing behind newer rows.

import { check } from "./error.js";

/** What was read of one session: by epoch the lowest sequence number. Version 1 is epoch 0. Plain data. */
export class EpochOrder {
  /** @param {Record<string, string>} [lowest] */
  constructor(lowest = {}) {
    this.lowest = { ...lowest };
  }

  /**
   * Throws `stale-epoch` where a message before this one has a newer epoch.
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

  /** A message that was opened. */
  note(epoch, number) {
    const lowest = this.lowest[epoch];
    if (lowest === undefined || BigInt(number) < BigInt(lowest)) this.lowest[epoch] = number;
  }
}
