// How long a follower waits until it asks again. No clock and no timer.

/** Between two requests, from start to start, whatever a notifier says. */
export const APART_MS = 100;
const FIRST_MS = 1_000;
/** As long after something came it still asks every `FIRST_MS`: what somebody writes comes with pauses. */
const ACTIVE_MS = 60_000;
/** At rest, unless the caller says otherwise. */
export const LONGEST_MS = 30_000;
/** At rest while changes are pushed. */
const LONGEST_PUSHED_MS = 60_000;
const FIRST_FAILURE_MS = 2_000;
const LONGEST_FAILURE_MS = 30_000;
/** However long a server says, because it may be wrong. */
const LONGEST_ASKED_MS = 330_000;

/**
 * @typedef {object} Wait
 * @property {number} leastMs nothing cuts this short
 * @property {number} mostMs a wake-up cuts this short
 */

export class Pace {
  #delayMs = FIRST_MS;
  #quietMs = 0;
  #failures = 0;

  /** @param {number} longestMs between two polls at rest, at least a second */
  constructor(longestMs = LONGEST_MS) {
    this.longestMs = Math.max(longestMs, FIRST_MS);
  }

  /**
   * After a poll that brought something.
   *
   * @returns {Wait}
   */
  came() {
    this.#failures = 0;
    this.#delayMs = FIRST_MS;
    this.#quietMs = 0;
    return { leastMs: 0, mostMs: 0 };
  }

  /**
   * After a poll that brought nothing.
   *
   * @param {{ pushed: boolean, waits: boolean }} now `pushed`: a notifier is connected; `waits`: a row waits for its key,
   *   which nobody pushes
   * @returns {Wait}
   */
  nothing({ pushed, waits }) {
    this.#failures = 0;
    const onlyPushed = pushed && !waits;
    const longest = onlyPushed ? Math.max(this.longestMs, LONGEST_PUSHED_MS) : this.longestMs;
    const active = this.#quietMs < ACTIVE_MS && !onlyPushed;
    this.#quietMs += FIRST_MS;
    if (active) return { leastMs: 0, mostMs: FIRST_MS };
    const mostMs = Math.min(this.#delayMs, longest);
    this.#delayMs = Math.min(this.#delayMs * 2, longest);
    return { leastMs: 0, mostMs };
  }

  /**
   * After a poll that failed.
   *
   * @param {{ retryAfterMs?: number }} error
   * @returns {Wait}
   */
  failed({ retryAfterMs = 0 }) {
    const mostMs = Math.min(FIRST_FAILURE_MS * 2 ** this.#failures++, LONGEST_FAILURE_MS);
    const leastMs = Math.max(Math.min(retryAfterMs, LONGEST_ASKED_MS), FIRST_MS);
    return { leastMs, mostMs: Math.max(mostMs, leastMs) };
  }
}
