// Reads what the user's other devices wrote: the change feed over all sessions, or one session in order.

import { beginning, cursorText, parseCursor } from "./cursor.js";
import { EpochOrder } from "./epoch-order.js";
import { LeviError } from "./error.js";
import { openMessage } from "./message.js";
import { epochMessageKey, isVersion2, openMessageV2, parseNonce } from "./message-v2.js";
import { Server } from "./server.js";
import { SessionKeys } from "./session-keys.js";
import { Trust, TrustError } from "./trust.js";

/** Problems that end when a key comes, and not before. */
const MISSING_KEY = new Set(["no-envelope", "no-epoch"]);

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
 *   delivered before as one whose key was missing
 */

export class Reader {
  #server;
  #device;
  #trust;
  #keys;
  /** By session and epoch, because deriving one costs more than opening a short message. */
  #epochKeys = new Map();

  /**
   * @param {Server} server
   * @param {Device} device
   * @param {Trust} [trust]
   */
  constructor(server, device, trust) {
    this.#server = server;
    this.#device = device;
    this.#trust = trust;
    this.#keys = new SessionKeys(server, device, trust);
  }

  /**
   * @param {object} options
   * @param {import("@supabase/supabase-js").SupabaseClient} options.supabase signed in
   * @param {string} options.userId
   * @param {Device} options.device
   * @param {import("./trust.js").Pin} [options.pin] of the signed device list. Without one every row of `devices` is
   *   believed, so that who holds a token of the user can pass for a device.
   * @param {(pin: import("./trust.js").Pin) => unknown} [options.onPin] stores a list that has gone on
   * @param {() => number} [options.now] milliseconds, for tests
   */
  static async open({ supabase, userId, device, pin, onPin, now }) {
    const server = new Server(supabase, userId);
    const trust = pin && (await Trust.restore({ server, device, pin, onPin, now }));
    return new Reader(server, device, trust);
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

  /**
   * What changed since a cursor, over all sessions, in the order of the changes. Store the cursor after the changes are
   * dealt with: a page whose cursor was not stored is delivered again.
   *
   * @param {string} [cursor] undefined begins at the oldest message
   * @param {number} [limit]
   * @returns {Promise<{ changes: Change[], cursor: string, more: boolean }>} `more`: ask again at once
   */
  async changes(cursor, limit = 500) {
    const state = parseCursor(cursor, this.#server.userId);
    await this.#trust?.refresh();
    const unlocked = await this.#unlocked(state, limit);
    if (unlocked.length > 0) return { changes: unlocked, cursor: cursorText(state), more: true };
    const rows = await this.#server.changes(state.after, limit);
    const changes = [];
    for (const row of rows) {
      changes.push(await this.#change(state, row));
      state.after = row.change;
    }
    return { changes, cursor: cursorText(state), more: rows.length > 0 };
  }

  /** Supabase Realtime for one `Follower`: `new Follower(reader, { notifier: reader.realtime() })`. */
  realtime() {
    return this.#server.realtime();
  }

  /** The cursor behind everything that is there now: `changes` then tells what is new from here on. */
  async latest() {
    const state = beginning(this.#server.userId);
    state.after = await this.#server.lastChange();
    return cursorText(state);
  }

  /** The rows of the sessions whose key has come. One request tells, whatever their number up to 50. */
  async #unlocked(state, limit) {
    const locked = Object.keys(state.sessions).filter((id) => state.sessions[id].locked);
    if (locked.length === 0) return [];
    for (const sessionId of await this.#server.shared(locked, this.#device.id)) {
      const changes = await this.#retry(state, sessionId, limit);
      if (changes.length > 0) return changes;
    }
    return [];
  }

  /** @returns {Promise<Change[]>} */
  async #retry(state, sessionId, limit) {
    const session = state.sessions[sessionId];
    const [first, until] = session.locked;
    const rows = await this.#server.changes(String(BigInt(first) - 1n), limit, { sessionId, until });
    /** @type {Change[]} */
    const changes = [];
    for (const row of rows) {
      delete session.locked;
      const change = await this.#change(state, row);
      if (MISSING_KEY.has(change.problem)) {
        session.locked = [row.change, until];
        return changes;
      }
      changes.push({ ...change, arrival: "unlocked" });
    }
    const last = rows.at(-1)?.change;
    if (last === undefined || last === until) delete session.locked;
    else session.locked = [String(BigInt(last) + 1n), until];
    return changes;
  }

  /**
   * Opens a row and notes it in the cursor's state.
   *
   * @returns {Promise<Change>}
   */
  async #change(state, row) {
    const session = (state.sessions[row.session_id] ??= { epochs: {} });
    const order = new EpochOrder(session.epochs);
    const opened = await this.#opened(row, order);
    session.epochs = order.lowest;
    const isHigher = session.highest === undefined || BigInt(row.number) > BigInt(session.highest);
    if (isHigher && opened.content !== undefined) session.highest = row.number;
    if (MISSING_KEY.has(opened.problem)) session.locked = [session.locked?.[0] ?? row.change, row.change];
    return { sessionId: row.session_id, sequenceNumber: row.number, arrival: isHigher ? "new" : "edited", ...opened };
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
    await this.#keys.of(sessionId);
    const order = new EpochOrder();
    for (let page; (page = await this.#server.messages(sessionId, after)).length > 0; after = page.at(-1).number) {
      for (const row of page) yield { sessionId, sequenceNumber: row.number, ...(await this.#opened(row, order)) };
    }
  }

  /**
   * One bad row does not hide the others. That the server does not answer, or shows another list, is no bad row.
   *
   * @returns {Promise<{ content?: string, problem?: string }>}
   */
  async #opened(row, order) {
    try {
      return { content: await this.#content(row, order) };
    } catch (error) {
      if (error instanceof LeviError && !(error instanceof TrustError)) return { problem: error.code };
      throw error;
    }
  }

  async #content(row, order) {
    const epoch = isVersion2(row.content_nonce) ? parseNonce(row.content_nonce).epoch : 0;
    if (this.#trust) order.check(epoch, row.number);
    const key = await this.#keys.of(row.session_id);
    if (epoch === 0) return openMessage(key, row.session_id, row.number, row);
    const opened = await this.#openV2(key, epoch, row);
    order.note(epoch, row.number, opened.order);
    return opened.content;
  }

  async #openV2(key, epoch, row) {
    if (!this.#trust) throw new LeviError("no-epoch", "reading the message needs the signed device list; pair this device");
    const secret = await this.#trust.epochSecret(epoch);
    const place = `${row.session_id} ${epoch}`;
    const epochKey = this.#epochKeys.get(place) ?? (await epochMessageKey(key, row.session_id, epoch, secret));
    this.#epochKeys.set(place, epochKey);
    return openMessageV2(epochKey, row.session_id, row.number, row);
  }
}
