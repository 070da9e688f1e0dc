// The change feed as it grows: pages through what is there, then waits. It polls every second until
// nothing came for a minute, and then more and more seldom, up to every half minute unless the caller says otherwise. `wake`
// cuts a wait short, and so does a notifier; while that is connected, a poll at rest comes once a minute. After a failure it
// waits longer, and as long as the server says. Where it cannot know what happened on the server meanwhile, it makes sure that
// its cursor still stands for what it has delivered.

import { APART_MS, Pace } from "./pace.js";

/** Errors that asking again does not mend. */
const IS_FINAL = new Set(["bad-cursor", "no-change-feed"]);

/** Since the last answer; a poll at rest comes sooner. */
const LONG_PAUSE_MS = 90_000;

export class Follower {
  #reader;
  #cursor;
  #signal;
  #pace;
  #notifier;
  #wake = () => {};
  #woken = false;
  /** When the server answered last, if nothing has failed since. */
  #answeredAt = -Infinity;

  /**
   * @param {import("./reader.js").Reader} reader
   * @param {object} [options]
   * @param {string} [options.cursor] undefined begins at the oldest message
   * @param {AbortSignal} [options.signal] ends it
   * @param {number} [options.longestMs] the longest wait between two polls at rest, at least a second
   * @param {import("./realtime.js").Realtime} [options.notifier] wakes this follower, and no other; see `reader.realtime()`
   * @param {(error: unknown) => unknown} [options.onError] hears of each poll that failed, and may throw to end. A cursor
   *   that does not fit, and a project without a change feed, end it anyway, because asking again does not help
   * @param {() => unknown} [options.onPoll] hears of each poll that succeeded
   */
  constructor(reader, options = {}) {
    const { cursor, signal, longestMs, notifier, onError = () => {}, onPoll = () => {} } = options;
    this.#reader = reader;
    this.#cursor = cursor;
    this.#signal = signal;
    this.#pace = new Pace(longestMs);
    this.#notifier = notifier;
    this.onError = onError;
    this.onPoll = onPoll;
  }

  /** The longest wait between two polls at rest, from the next wait on. */
  set longestMs(ms) {
    this.#pace.longestMs = ms;
  }

  /** Something may have changed, or the network is back: polls now, but not before a time that the server asked for. */
  wake() {
    this.#woken = true;
    this.#wake();
  }

  /**
   * Pages that hold something. The next poll begins after the page was dealt with, so that its cursor can be stored.
   *
   * @returns {AsyncGenerator<{ changes: import("./reader.js").Change[], cursor: string }>}
   */
  async *[Symbol.asyncIterator]() {
    this.#notifier?.start(() => this.wake());
    try {
      yield* this.#pages();
    } finally {
      this.#notifier?.stop();
    }
  }

  async *#pages() {
    while (!this.#signal?.aborted) {
      const began = Date.now();
      const { page, wait } = await this.#poll();
      if (this.#signal?.aborted) return;
      if (page) this.#cursor = page.cursor;
      if (page?.changes.length) yield { changes: page.changes, cursor: page.cursor };
      await this.#rest(wait, APART_MS - (Date.now() - began));
    }
  }

  /** What came, if the server answered, and how long to wait then. */
  async #poll() {
    this.#woken = false;
    try {
      const hasPaused = Date.now() - this.#answeredAt > LONG_PAUSE_MS;
      if (hasPaused && this.#cursor !== undefined) this.#cursor = await this.#reader.confirmed(this.#cursor);
      const page = await this.#reader.changes(this.#cursor);
      this.#answeredAt = Date.now();
      if (!this.#signal?.aborted) this.onPoll();
      const pushed = this.#notifier?.connected ?? false;
      return { page, wait: page.more ? this.#pace.came() : this.#pace.nothing({ pushed, waits: page.waits }) };
    } catch (error) {
      this.#answeredAt = -Infinity;
      if (!this.#signal?.aborted) this.onError(error);
      const failure = /** @type {{ code?: string, retryAfterMs?: number }} */ (error);
      if (IS_FINAL.has(failure.code)) throw error;
      return { page: undefined, wait: this.#pace.failed(failure) };
    }
  }

  async #rest({ leastMs, mostMs }, apartMs) {
    const least = Math.max(leastMs, apartMs);
    await this.#sleep(least);
    if (!this.#woken) await this.#sleep(mostMs - least, (done) => (this.#wake = done));
    this.#wake = () => {};
  }

  /** Ends early when the follower does, and when what `onSleep` is given is called. */
  #sleep(ms, onSleep = (/** @type {() => void} */ _done) => {}) {
    if (ms <= 0 || this.#signal?.aborted) return Promise.resolve();
    return new Promise((resolve) => {
      const done = () => {
        clearTimeout(timer);
        this.#signal?.removeEventListener("abort", done);
        resolve(undefined);
      };
      const timer = setTimeout(done, ms);
      this.#signal?.addEventListener("abort", done);
      onSleep(done);
    });
  }
}
