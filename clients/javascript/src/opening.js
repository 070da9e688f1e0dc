// Opens the rows of one read. What the server was asked during it is not asked again for the next row.

import { LeviError, check } from "./error.js";
import { openMessage } from "./message.js";
import { epochMessageKey, isVersion2, openMessageV2, parseNonce } from "./message-v2.js";
import { LONGEST_PAGE } from "./page-size.js";
import { TrustError, URGENT_MS } from "./trust.js";

/** Problems that may end when the device list or the keyring goes on. */
export const MISSING_IN_LIST = new Set(["no-epoch", "unknown-sender"]);

/**
 * What was read of the sessions before this read: all that comes before its rows, or perhaps not all.
 *
 * @typedef {"everything" | "not-everything"} ReadBefore
 */

export class Opening {
  #server;
  #trust;
  #keys;
  #pageSize;
  #readBefore;
  /** @type {Map<string, Promise<boolean>>} whether an envelope gave another key, by session */
  #fetched = new Map();
  #looked = false;

  /**
   * @param {object} parts
   * @param {import("./server.js").Server} parts.server
   * @param {import("./trust.js").Trust} [parts.trust]
   * @param {import("./session-keys.js").SessionKeys} parts.keys
   * @param {import("./page-size.js").PageSize} parts.pageSize
   * @param {ReadBefore} parts.readBefore
   */
  constructor({ server, trust, keys, pageSize, readBefore }) {
    this.#server = server;
    this.#trust = trust;
    this.#keys = keys;
    this.#pageSize = pageSize;
    this.#readBefore = readBefore;
  }

  /**
   * One bad row does not hide the others. That the server does not answer, or shows another list, is no bad row.
   *
   * @param {import("./server.js").MessageRow} row
   * @param {import("./epoch-order.js").EpochOrder} order of its session
   * @returns {Promise<{ content?: string, problem?: string }>}
   */
  async open(row, order) {
    try {
      return { content: await this.#content(row, order) };
    } catch (error) {
      if (isProblemOfRow(error)) return { problem: codeOf(error) };
      throw error;
    }
  }

  /** Makes sure that there is a key of the session. Throws `no-envelope` where there is none. */
  async fill(sessionId) {
    if (this.#keys.of(sessionId).length === 0) await this.#fetch(sessionId);
  }

  async #content(row, order) {
    checkFetched(row);
    check(typeof row.content_nonce === "string", "malformed", "the row has no nonce");
    const epoch = isVersion2(row.content_nonce) ? parseNonce(row.content_nonce).epoch : 0;
    if (this.#trust) {
      if (this.#readBefore === "not-everything") await this.#askForNewer(epoch, row, order);
      order.check(epoch, row.number);
    }
    const opened = await this.#opened(epoch, row);
    if (this.#trust) await order.note(epoch, row.number, opened.order);
    return opened.content;
  }

  /** With each key that is known, and then with one that is not known yet. */
  async #opened(epoch, row) {
    await this.fill(row.session_id);
    let failure;
    for (const key of this.#keys.of(row.session_id)) {
      try {
        return await this.#openWith(key, epoch, row);
      } catch (error) {
        if (codeOf(error) !== "forged") throw error;
        failure = error;
      }
    }
    const another = await this.#fetch(row.session_id).catch((error) => {
      if (isProblemOfRow(error)) return false;
      throw error;
    });
    if (!another) throw failure;
    return this.#openWith(this.#keys.of(row.session_id)[0], epoch, row);
  }

  async #openWith(key, epoch, row) {
    if (epoch === 0) return { content: openMessage(key, row.session_id, row.number, row), order: undefined };
    check(this.#trust, "not-on-list", "the message is for the devices on the user's signed list; pair this device");
    const secret = await this.#trust.epochSecret(epoch);
    return openMessageV2(await epochKey(key, row.session_id, epoch, secret), row.session_id, row.number, row);
  }

  /** Once for each session, whatever the number of its rows. */
  #fetch(sessionId) {
    const fetched = this.#fetched.get(sessionId) ?? this.#fetchKey(sessionId);
    this.#fetched.set(sessionId, fetched);
    return fetched;
  }

  async #fetchKey(sessionId) {
    try {
      return await this.#keys.fetch(sessionId);
    } catch (error) {
      // Who sealed it may be on the list since a moment ago.
      if (codeOf(error) !== "unknown-sender" || !(await this.#look())) throw error;
      return this.#keys.fetch(sessionId);
    }
  }

  /** Whether the device list has gone on. */
  async #look() {
    if (!this.#trust || this.#looked) return false;
    this.#looked = true;
    const before = this.#trust.list.head;
    await this.#trust.refresh(URGENT_MS);
    return this.#trust.list.head !== before;
  }

  /**
   * Rows before those that are read may be of a newer epoch than this one. Most rows are of the current epoch, and then
   * there is nothing to ask.
   */
  async #askForNewer(epoch, row, order) {
    for (const { epoch: newer } of this.#trust.list.rotations) {
      if (newer <= epoch || order.asked.has(newer)) continue;
      await this.#findStart(newer, row.session_id, order);
      order.asked.add(newer);
    }
  }

  /** The lowest message of an epoch that opens and is not late. Junk before it, which anybody can write, is passed. */
  async #findStart(epoch, sessionId, order) {
    let after = "-1";
    const ask = (limit) => this.#server.messagesOf(epoch, sessionId, after, limit);
    const askFirst = () => this.#server.firstMessageOf(epoch, sessionId, after);
    for (let page; (page = await this.#pageSize.read(LONGEST_PAGE, ask, askFirst)).length > 0; ) {
      for (const row of page) {
        checkFetched(row); // Nobody can say whether it is junk.
        const opened = await this.#opened(epoch, row).catch((error) => {
          // Without the key nobody can say which of them is genuine: then neither is the row that asks.
          if (!isProblemOfRow(error) || codeOf(error) === "no-epoch" || this.#keys.of(sessionId).length === 0) throw error;
        });
        if (!opened || opened.order === "late") continue;
        return order.note(epoch, row.number, opened.order);
      }
      after = page.at(-1).number;
    }
  }
}

/** @param {any} error */
const codeOf = (error) => error.code;

/** @param {import("./server.js").MessageRow} row */
const checkFetched = (row) => check(!row.isTooLong, "not-fetched", "the row is too long for an answer of the server");

const isProblemOfRow = (error) => error instanceof LeviError && !(error instanceof TrustError);

/** By session key and epoch, because deriving one costs more than opening a short message. */
const epochKeys = new WeakMap();

async function epochKey(key, sessionId, epoch, secret) {
  const ofKey = epochKeys.get(key) ?? new Map();
  epochKeys.set(key, ofKey);
  const known = ofKey.get(epoch);
  if (known?.secret === secret) return known.derived;
  const derived = await epochMessageKey(key, sessionId, epoch, secret);
  ofKey.set(epoch, { secret, derived });
  return derived;
}
