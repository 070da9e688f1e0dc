// The change feed as it grows: pages through what is there, then waits. It polls after a second while changes come, and
// then more and more seldom, up to every half minute unless the caller says otherwise. `wake` cuts a wait short, and so does
// a notifier; while that is connected, a poll at rest comes once a minute.

const FIRST_MS = 1_000;
const LONGEST_MS = 30_000;
/** While changes are pushed. */
const LONGEST_PUSHED_MS = 60_000;

export class Follower {
  #reader;
  #cursor;
  #signal;
  #longestMs;
  #notifier;
  #wake = () => {};
  #woken = false;

  /**
   * @param {import("./reader.js").Reader} reader
   * @param {object} [options]
   * @param {string} [options.cursor] undefined begins at the oldest message
   * @param {AbortSignal} [options.signal] ends it
   * @param {number} [options.longestMs] the longest wait between two polls, at least a second
   * @param {import("./realtime.js").Realtime} [options.notifier] wakes this follower, and no other; see `reader.realtime()`
   * @param {(error: unknown) => unknown} [options.onError] hears of each poll that failed, and may throw to end
   * @param {() => unknown} [options.onPoll] hears of each poll that succeeded
   */
  constructor(reader, options = {}) {
    const { cursor, signal, longestMs = LONGEST_MS, notifier, onError = () => {}, onPoll = () => {} } = options;
    this.#reader = reader;
    this.#cursor = cursor;
    this.#signal = signal;
    this.#longestMs = Math.max(longestMs, FIRST_MS);
    this.#notifier = notifier;
    this.onError = onError;
    this.onPoll = onPoll;
  }

  /** Something may have changed, or the network is back: polls now. */
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
    let delay = FIRST_MS;
    while (!this.#signal?.aborted) {
      const page = await this.#poll();
      if (page) this.#cursor = page.cursor;
      if (page?.changes.length) {
        yield { changes: page.changes, cursor: page.cursor };
        delay = FIRST_MS;
      }
      if (page?.more) continue;
      await this.#wait(Math.min(delay, this.#longest()));
      delay = Math.min(delay * 2, this.#longest());
    }
  }

  #longest() {
    return this.#notifier?.connected ? Math.max(this.#longestMs, LONGEST_PUSHED_MS) : this.#longestMs;
  }

  async #poll() {
    this.#woken = false;
    try {
      const page = await this.#reader.changes(this.#cursor);
      this.onPoll();
      return page;
    } catch (error) {
      this.onError(error);
      return undefined;
    }
  }

  #wait(ms) {
    if (this.#woken || this.#signal?.aborted) return Promise.resolve();
    return new Promise((resolve) => {
      const done = () => {
        clearTimeout(timer);
        this.#signal?.removeEventListener("abort", done);
        this.#wake = () => {};
        resolve();
      };
      const timer = setTimeout(done, ms);
      this.#wake = done;
      this.#signal?.addEventListener("abort", done);
    });
  }
}
