// One read of the change feed: what changed past a cursor, and what could not be read before and can be now.

import { cursorText, forgetOldest, touched } from "./cursor.js";
import { LeviError } from "./error.js";
import { withLandmark } from "./landmarks.js";
import { MISSING_IN_LIST, Opening } from "./opening.js";
import { splitAt, withChange } from "./runs.js";
import { URGENT_MS } from "./trust.js";

/** Sessions whose keys are asked about in one look, with one request for every 50. The others have their turn later. */
const MOST_ASKED = 200;

/**
 * What a reader keeps from one read to the next.
 *
 * @typedef {object} Turns
 * @property {number} session of those that wait for a key, the one that is asked about next
 * @property {boolean} newFirst reading something again failed, so what is new is read before the next attempt
 */

/**
 * @typedef {object} Parts
 * @property {import("./server.js").Server} server
 * @property {import("./trust.js").Trust} [trust]
 * @property {import("./session-keys.js").SessionKeys} keys
 * @property {import("./page-size.js").PageSize} pageSize
 * @property {(sessionId: string) => Promise<import("./epoch-order.js").EpochOrder>} orderOf
 * @property {Turns} turns
 */

/** @typedef {{ changes: import("./reader.js").Change[], cursor: string, more: boolean, waits: boolean }} ChangePage */

/**
 * What can be read by now of what came before, else what is new. An attempt that fails at what came before keeps no new
 * message back: what is new is read then, at once or, if the server asks for a wait, first thing in the next read.
 *
 * @param {Feed} feed
 * @param {() => Feed} beginAgain another read at the same cursor
 * @param {Turns} turns
 * @param {number} limit
 * @returns {Promise<ChangePage>}
 */
export async function readFeed(feed, beginAgain, turns, limit) {
  if (turns.newFirst) {
    const changes = await feed.next(limit);
    turns.newFirst = false;
    return feed.page(changes.length > 0 ? changes : await feed.unlock(limit));
  }
  let unlocked;
  try {
    unlocked = await feed.unlock(limit);
  } catch (error) {
    if (error instanceof LeviError || waitOf(error) !== undefined) throw error;
    const another = beginAgain(); // What the failed one took note of was not delivered.
    const changes = await another.next(limit).catch(() => []);
    if (changes.length === 0) throw error;
    return another.page(changes);
  }
  return feed.page(unlocked.length > 0 ? unlocked : await feed.next(limit));
}

/** @param {any} error */
const waitOf = (error) => error.retryAfterMs;

export class Feed {
  #parts;
  #state;
  #opening;

  /**
   * @param {Parts} parts
   * @param {import("./cursor.js").Cursor} state
   */
  constructor(parts, state) {
    this.#parts = parts;
    this.#state = state;
    const knowsAll = state.since === undefined && !state.forgot;
    this.#opening = new Opening({ ...parts, readBefore: knowsAll ? "everything" : "not-everything" });
  }

  /** @returns {ChangePage} */
  page(changes) {
    const waits = Object.values(this.#state.sessions).some(({ locked }) => locked);
    return { changes, cursor: cursorText(this.#state), more: changes.length > 0, waits };
  }

  /** What changed past the cursor. */
  async next(limit) {
    const changes = [];
    for (const row of await this.#read(this.#state.after, limit)) {
      changes.push(await this.#change(row));
      this.#state.after = row.change;
      const landmark = /** @type {import("./server.js").ChangeNonce} */ (row);
      this.#state.landmarks = withLandmark(this.#state.landmarks ?? [], landmark);
    }
    forgetOldest(this.#state);
    return changes;
  }

  /** @param {import("./server.js").Within} [within] */
  #read(after, limit, within) {
    const { server, pageSize } = this.#parts;
    const ask = (limit) => server.changes(after, limit, within);
    return pageSize.read(limit, ask, () => server.firstChange(after, within));
  }

  /** What could not be read and can be now, of the first session that has such. */
  async unlock(limit) {
    try {
      return await this.#unlocked(limit);
    } catch (error) {
      this.#parts.turns.newFirst = true;
      throw error;
    }
  }

  async #unlocked(limit) {
    const { keys, trust, turns } = this.#parts;
    const { sessions } = this.#state;
    const locked = Object.keys(sessions).filter((id) => sessions[id].locked);
    if (locked.length === 0) return [];
    if (locked.some((id) => sessions[id].list)) await trust?.refresh(URGENT_MS);
    if (turns.session >= locked.length) turns.session = 0;
    const asked = locked.slice(turns.session, turns.session + MOST_ASKED);
    for (const [sessionId, mark] of await keys.marks(asked)) {
      if (sessions[sessionId].tried === mark) continue;
      const changes = await this.#retry(sessionId, mark, limit).catch((error) => {
        turns.session = locked.indexOf(sessionId) + 1; // It keeps the others back no more than what is new.
        throw error;
      });
      if (changes.length > 0) return changes;
    }
    turns.session += MOST_ASKED;
    return [];
  }

  /**
   * Reads again what could not be read of a session. If that is more than a page, the cursor knows how far it came.
   *
   * @returns {Promise<import("./reader.js").Change[]>}
   */
  async #retry(sessionId, mark, limit) {
    const session = this.#state.sessions[sessionId];
    const goesOn = session.trying?.[0] === mark;
    if (!goesOn) delete session.list;
    let [left, ahead] = splitAt(session.locked, goesOn ? session.trying[1] : "0");
    /** @type {import("./reader.js").Change[]} */
    const changes = [];
    while (ahead.length > 0 && changes.length < limit) {
      const [first, until] = ahead[0];
      const rows = await this.#read(String(BigInt(first) - 1n), limit - changes.length, { sessionId, until });
      let place = /** @type {import("./runs.js").Place} */ ("apart");
      for (const row of rows) {
        const opened = await this.#open(row);
        if (opened.content === undefined) left = withChange(left, row.change, place);
        else changes.push({ sessionId, sequenceNumber: row.number, arrival: "unlocked", ...opened });
        place = opened.content === undefined ? "joins" : "apart";
      }
      // Rows that are not there were deleted, or have changed and so another place in the feed.
      [, ahead] = splitAt(ahead, rows.at(-1)?.change ?? until);
      session.trying = [mark, rows.at(-1)?.change ?? until];
    }
    if (ahead.length === 0) {
      delete session.trying;
      session.tried = this.#parts.keys.mark(sessionId);
    }
    session.locked = left.length + ahead.length > 0 ? [...left, ...ahead] : undefined;
    return changes;
  }

  /**
   * Opens a row of the feed and notes it in the cursor's state.
   *
   * @returns {Promise<import("./reader.js").Change>}
   */
  async #change(row) {
    const { keys, server } = this.#parts;
    const state = this.#state;
    const isKnown = row.session_id in state.sessions;
    const session = touched(state, row.session_id);
    if (!isKnown && state.forgot) session.highest = await server.highestBy(row.session_id, state.after);
    const isHigher = session.highest === undefined || BigInt(row.number) > BigInt(session.highest);
    const opened = await this.#open(row);
    if (opened.content === undefined) {
      session.locked = withChange(session.locked ?? [], row.change, session.split ? "apart" : "joins");
      session.split = undefined;
      session.tried ??= keys.mark(row.session_id);
    } else if (session.locked) {
      session.split = true;
    }
    return { sessionId: row.session_id, sequenceNumber: row.number, arrival: isHigher ? "new" : "edited", ...opened };
  }

  async #open(row) {
    const session = this.#state.sessions[row.session_id];
    const order = await this.#parts.orderOf(row.session_id);
    order.merge(session.epochs);
    const opened = await this.#opening.open(row, order);
    session.epochs = { ...order.lowest };
    const isHigher = session.highest === undefined || BigInt(row.number) > BigInt(session.highest);
    if (isHigher && opened.content !== undefined) session.highest = row.number;
    if (MISSING_IN_LIST.has(opened.problem)) session.list = true;
    return opened;
  }
}
