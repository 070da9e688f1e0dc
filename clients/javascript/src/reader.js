// Reads what the user's other devices wrote: the change feed over all sessions, or one session in order.

import { START, beginning, cursorText, goBackTo, parseCursor } from "./cursor.js";
import { EpochOrder } from "./epoch-order.js";
import { Feed, readFeed } from "./feed.js";
import { LAST_KEPT, recognised, withLandmark } from "./landmarks.js";
import { Opening } from "./opening.js";
import { LONGEST_PAGE, PageSize } from "./page-size.js";
import { geneses } from "./read-list.js";
import { Server } from "./server.js";
import { SessionKeys } from "./session-keys.js";
import { Trust, URGENT_MS } from "./trust.js";

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
  /** @type {import("./feed.js").Turns} */
  #turns = { session: 0, newFirst: false };

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
   * @returns {Promise<import("./feed.js").ChangePage>} `more`: ask again at once; `waits`: something was delivered as
   *   unreadable, and may become readable without another change
   */
  async changes(cursor, limit = LONGEST_PAGE) {
    const begin = () => new Feed(this.#parts, parseCursor(cursor, this.#server.userId));
    const feed = begin();
    await this.#trust?.refresh();
    return readFeed(feed, begin, this.#turns, limit);
  }

  /** Supabase Realtime for one `Follower`: `new Follower(reader, { notifier: reader.realtime() })`. */
  realtime() {
    return this.#server.realtime();
  }

  /** The cursor behind everything that is there now: `changes` then tells what is new from here on. */
  async latest() {
    const state = beginning(this.#server.userId);
    const ask = (limit) => this.#server.lastNonces(limit);
    const last = await this.#pageSize.read(LAST_KEPT, ask, () => this.#server.lastChange());
    state.after = last[0]?.change ?? START;
    state.since = state.after;
    state.landmarks = last.reverse().reduce(withLandmark, /** @type {import("./landmarks.js").Landmark[]} */ ([]));
    return cursorText(state);
  }

  /**
   * The cursor, or one further back if the project was restored from a backup: its numbers go on from lower ones, and what is
   * written then would be skipped. It goes back to the last row that was delivered and that the server still has in its
   * place, else to the oldest message. What was delivered before comes again then, as "edited". One request. A `Follower`
   * does this by itself; who calls `changes` does it at a start, after a failure and after a pause of more than a minute.
   *
   * @param {string} cursor
   * @returns {Promise<string>}
   */
  async confirmed(cursor) {
    const state = parseCursor(cursor, this.#server.userId);
    if (state.after === START) return cursor;
    const agreed = state.landmarks ? await this.#agreed(state) : await this.#unlessPast(state.after);
    if (agreed === state.after) return cursor;
    goBackTo(state, agreed);
    return cursorText(state);
  }

  /** The last of the cursor's landmarks that the server has. */
  async #agreed(state) {
    if (state.landmarks.length === 0) return START;
    const [changes, nonces] = [0, 1].map((part) => state.landmarks.map((landmark) => landmark[part]));
    state.landmarks = recognised(state.landmarks, await this.#server.noncesAt(changes, nonces));
    return state.landmarks.at(-1)?.[0] ?? START;
  }

  /** For a cursor that an earlier version stored: the place itself, unless the feed ends before it. */
  async #unlessPast(after) {
    const [last] = await this.#server.lastChange();
    return BigInt(last?.change ?? START) < BigInt(after) ? START : after;
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
    const opening = new Opening({ ...this.#parts, readBefore: after === "-1" ? "everything" : "not-everything" });
    await opening.fill(sessionId);
    const order = await this.#order(sessionId);
    order.asked.clear(); // Other rows than before may lie before these.
    const ask = (limit) => this.#server.messages(sessionId, after, limit);
    const askFirst = () => this.#server.firstMessage(sessionId, after);
    for (let page; (page = await this.#pageSize.read(LONGEST_PAGE, ask, askFirst)).length > 0; after = page.at(-1).number) {
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

  /** @returns {import("./feed.js").Parts} */
  get #parts() {
    return {
      server: this.#server,
      trust: this.#trust,
      keys: this.#keys,
      pageSize: this.#pageSize,
      orderOf: (sessionId) => this.#order(sessionId),
      turns: this.#turns,
    };
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
