// Reads what the user's other devices wrote: the change feed over all sessions, or one session in order.

import { beginning, cursorText, forgetOldest, parseCursor, touched } from "./cursor.js";
import { EpochOrder } from "./epoch-order.js";
import { MISSING_IN_LIST, Opening } from "./opening.js";
import { LONGEST_PAGE, PageSize } from "./page-size.js";
import { geneses } from "./read-list.js";
import { splitAt, withChange } from "./runs.js";
import { Server } from "./server.js";
import { SessionKeys } from "./session-keys.js";
import { Trust, URGENT_MS } from "./trust.js";

/** Sessions whose keys are asked about in one look, with one request for every 50. The others have their turn later. */
const MOST_ASKED = 200;

/**
 * This device. `keys.envelope` is enough without a device list.
 *
 * @typedef {object} Device
 * @property {string} id of its row in `devices`
 * @property {import("./keys.js").MemberKeys} keys
 */

/**
 * One message as it was delivered: with its content, or with the reason why it cannot be read.
 *
 * @typedef {object} Change
 * @property {string} sessionId
 * @property {string} sequenceNumber 64 bits, as text
 * @property {string} [content]
 * @property {string} [problem] such as "forged", "no-envelope" or "stale-epoch"
 * @property {"new" | "edited" | "unlocked"} arrival "edited" is also a message that was written late; "unlocked" was
 *   delivered before as one that cannot be read
 */

/**
 * Keeps where the epochs of each session begin, so that a removed device cannot go on writing behind rows that it has
 * deleted. What it keeps is not secret, but nobody else may change it.
 *
 * @typedef {object} EpochStore
 * @property {(sessionId: string) => Promise<Record<string, string> | undefined>} load
 * @property {(sessionId: string, starts: Record<string, string>) => unknown} keep
 */

export class Reader {
  #server;
  #device;
  #trust;
  #keys;
  #epochStore;
  #pageSize = new PageSize();
  /** @type {Map<string, Promise<EpochOrder>>} by session, for everything that this reader reads */
  #orders = new Map();
  /** Of the sessions that wait for a key, the one that is asked about next. */
  #turn = 0;

  /**
   * @param {Server} server
   * @param {Device} device
   * @param {Trust} [trust]
   * @param {EpochStore} [epochStore]
   */
  constructor(server, device, trust, epochStore) {
    this.#server = server;
    this.#device = device;
    this.#trust = trust;
    this.#keys = new SessionKeys(server, device, trust);
    this.#epochStore = epochStore;
  }

  /**
   * @param {object} options
   * @param {import("@supabase/supabase-js").SupabaseClient} options.supabase signed in
   * @param {string} options.userId
   * @param {Device} options.device
   * @param {import("./trust.js").Pin} [options.pin] of the signed device list. Without one every row of `devices` is
   *   believed, so anyone who holds the user's token can add a device.
   * @param {(pin: import("./trust.js").Pin) => unknown} [options.onPin] stores a list that has gone on
   * @param {EpochStore} [options.epochStore] without one a reader knows where epochs begin from what it has read itself
   * @param {() => number} [options.now] milliseconds, for tests
   */
  static async open({ supabase, userId, device, pin, onPin, epochStore, now }) {
    const server = new Server(supabase, userId);
    const trust = pin && (await Trust.restore({ server, device, pin, onPin, now }));
    return new Reader(server, device, trust, epochStore);
  }

  /**
   * The signed device list, if this reader has one.
   *
   * @returns {import("./device-list.js").DeviceList | undefined}
   */
  get list() {
    return this.#trust?.list;
  }

  /**
   * The user's sessions, by their last sign of life. All of it is the server's word.
   *
   * @returns {Promise<import("./server.js").SessionRow[]>}
   */
  async sessions() {
    const sessions = await this.#server.sessions();
    return sessions.sort((a, b) => (a.last_heartbeat_at < b.last_heartbeat_at ? 1 : -1));
  }

  /**
   * The rows of `devices`, which are the server's word. `list` says whom to believe.
   *
   * @returns {Promise<import("./server.js").DeviceRow[]>}
   */
  devices() {
    return this.#server.devices();
  }

  /** Whether the server shows a signed device list. A reader without a pin then reads nothing that is written under it. */
  async hasList() {
    return (await geneses(this.#server.userId, await this.#server.listRows())).length > 0;
  }

  /**
   * What changed since a cursor, over all sessions, in the order of the changes. Store the cursor after the changes are
   * dealt with: a page whose cursor was not stored is delivered again.
   *
   * @param {string} [cursor] undefined begins at the oldest message
   * @param {number} [limit]
   * @returns {Promise<{ changes: Change[], cursor: string, more: boolean, waits: boolean }>} `more`: ask again at once;
   *   `waits`: something was delivered as unreadable, and may become readable without another change
   */
  async changes(cursor, limit = LONGEST_PAGE) {
    const state = parseCursor(cursor, this.#server.userId);
    await this.#trust?.refresh();
    const knowsAll = state.since === undefined && !state.forgot;
    const opening = this.#opening(knowsAll ? "everything" : "not-everything");
    const unlocked = await this.#unlocked(state, limit, opening);
    if (unlocked.length > 0) return { changes: unlocked, cursor: cursorText(state), more: true, waits: true };
    const rows = await this.#pageSize.read(limit, (limit) => this.#server.changes(state.after, limit));
    const changes = [];
    for (const row of rows) {
      changes.push(await this.#change(state, row, opening));
      state.after = row.change;
    }
    forgetOldest(state);
    const waits = Object.values(state.sessions).some(({ locked }) => locked);
    return { changes, cursor: cursorText(state), more: rows.length > 0, waits };
  }

  /** Supabase Realtime for one `Follower`: `new Follower(reader, { notifier: reader.realtime() })`. */
  realtime() {
    return this.#server.realtime();
  }

  /** The cursor behind everything that is there now: `changes` then tells what is new from here on. */
  async latest() {
    const state = beginning(this.#server.userId);
    state.after = await this.#server.lastChange();
    state.since = state.after;
    return cursorText(state);
  }

  /** What could not be read and can be now, of the first session that has such. */
  async #unlocked(state, limit, opening) {
    const locked = Object.keys(state.sessions).filter((id) => state.sessions[id].locked);
    if (locked.length === 0) return [];
    if (locked.some((id) => state.sessions[id].list)) await this.#trust?.refresh(URGENT_MS);
    if (this.#turn >= locked.length) this.#turn = 0;
    const asked = locked.slice(this.#turn, this.#turn + MOST_ASKED);
    for (const [sessionId, mark] of await this.#keys.marks(asked)) {
      if (state.sessions[sessionId].tried === mark) continue;
      const changes = await this.#retry(state, sessionId, mark, limit, opening);
      if (changes.length > 0) return changes;
    }
    this.#turn += MOST_ASKED;
    return [];
  }

  /**
   * Reads again what could not be read of a session. If that is more than a page, the cursor knows how far it came.
   *
   * @returns {Promise<Change[]>}
   */
  async #retry(state, sessionId, mark, limit, opening) {
    const session = state.sessions[sessionId];
    const goesOn = session.trying?.[0] === mark;
    if (!goesOn) delete session.list;
    let [left, ahead] = splitAt(session.locked, goesOn ? session.trying[1] : "0");
    /** @type {Change[]} */
    const changes = [];
    while (ahead.length > 0 && changes.length < limit) {
      const [first, until] = ahead[0];
      const ask = (limit) => this.#server.changes(String(BigInt(first) - 1n), limit, { sessionId, until });
      const rows = await this.#pageSize.read(limit - changes.length, ask);
      let place = /** @type {import("./runs.js").Place} */ ("apart");
      for (const row of rows) {
        const opened = await this.#open(state, row, opening);
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
      session.tried = this.#keys.mark(sessionId);
    }
    session.locked = left.length + ahead.length > 0 ? [...left, ...ahead] : undefined;
    return changes;
  }

  /**
   * Opens a row of the feed and notes it in the cursor's state.
   *
   * @returns {Promise<Change>}
   */
  async #change(state, row, opening) {
    const isKnown = row.session_id in state.sessions;
    const session = touched(state, row.session_id);
    if (!isKnown && state.forgot) session.highest = await this.#server.highestBy(row.session_id, state.after);
    const isHigher = session.highest === undefined || BigInt(row.number) > BigInt(session.highest);
    const opened = await this.#open(state, row, opening);
    if (opened.content === undefined) {
      session.locked = withChange(session.locked ?? [], row.change, session.split ? "apart" : "joins");
      session.split = undefined;
      session.tried ??= this.#keys.mark(row.session_id);
    } else if (session.locked) {
      session.split = true;
    }
    return { sessionId: row.session_id, sequenceNumber: row.number, arrival: isHigher ? "new" : "edited", ...opened };
  }

  async #open(state, row, opening) {
    const session = state.sessions[row.session_id];
    const order = await this.#order(row.session_id);
    order.merge(session.epochs);
    const opened = await opening.open(row, order);
    session.epochs = { ...order.lowest };
    const isHigher = session.highest === undefined || BigInt(row.number) > BigInt(session.highest);
    if (isHigher && opened.content !== undefined) session.highest = row.number;
    if (MISSING_IN_LIST.has(opened.problem)) session.list = true;
    return opened;
  }

  /**
   * The messages of one session in order, after a sequence number. Throws where the session's key is missing.
   *
   * @param {string} sessionId
   * @param {string} [after]
   * @returns {AsyncGenerator<Omit<Change, "arrival">>}
   */
  async *messages(sessionId, after = "-1") {
    await this.#trust?.refresh();
    const opening = this.#opening(after === "-1" ? "everything" : "not-everything");
    await opening.fill(sessionId);
    const order = await this.#order(sessionId);
    order.asked.clear(); // Other rows than before may lie before these.
    const ask = (limit) => this.#server.messages(sessionId, after, limit);
    for (let page; (page = await this.#pageSize.read(LONGEST_PAGE, ask)).length > 0; after = page.at(-1).number) {
      for (const row of page) yield { sessionId, sequenceNumber: row.number, ...(await opening.open(row, order)) };
    }
  }

  /**
   * A text that is another when messages of the session that could not be read may be readable now: the session was
   * shared, or the device list has gone on. One request.
   *
   * @param {string} sessionId
   * @returns {Promise<string>}
   */
  async keyMark(sessionId) {
    await this.#trust?.refresh(URGENT_MS);
    return (await this.#keys.marks([sessionId])).get(sessionId);
  }

  /** @param {import("./opening.js").ReadBefore} readBefore */
  #opening(readBefore) {
    return new Opening({ server: this.#server, trust: this.#trust, keys: this.#keys, readBefore });
  }

  /** Where the epochs of a session begin, as far as this reader, its cursors and its store know. */
  #order(sessionId) {
    const order = this.#orders.get(sessionId) ?? this.#loadOrder(sessionId);
    this.#orders.set(sessionId, order);
    return order;
  }

  async #loadOrder(sessionId) {
    const options = {
      isEpoch: (epoch) => this.#trust?.list.commitment(epoch) !== undefined,
      onStart: (starts) => this.#epochStore?.keep(sessionId, { ...starts }),
    };
    return new EpochOrder(await this.#epochStore?.load(sessionId), options);
  }
}
