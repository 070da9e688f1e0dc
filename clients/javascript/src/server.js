// The tables of docs/protocol.md, through a Supabase client that the caller gives and has signed in. Numbers of 64 bits
// are asked for as text, because a JavaScript number is exact only up to 2^53.

import { LeviError, check } from "./error.js";
import { Realtime } from "./realtime.js";

const PAGE = 500;
/** Ids in one request, so that its URL stays short. */
const MOST_IDS = 50;
/** Which message a row is, without what it says: always short. */
const PLACE = "session_id,number:sequence_number::text";
const MESSAGE = `${PLACE},content_encrypted,content_nonce`;
const CHANGE = "change:change_id::text";
const MISSING_COLUMN = "42703";

/**
 * A row of `agent_coding_session_messages`.
 *
 * @typedef {object} MessageRow
 * @property {string} session_id
 * @property {string} number
 * @property {string} content_encrypted
 * @property {string} content_nonce
 * @property {string} [change] its place in the change feed
 * @property {boolean} [isTooLong] the server gives no more of it than its place
 */

/** @typedef {{ change: string, content_nonce?: string | null }} ChangeNonce */

/**
 * A part of the change feed: of one session, up to a place.
 *
 * @typedef {{ sessionId?: string, until?: string }} Within
 */

/**
 * A row of `agent_coding_sessions`.
 *
 * @typedef {object} SessionRow
 * @property {string} id
 * @property {string | null} title
 * @property {string} status
 * @property {string} device_id
 * @property {string | null} working_directory
 * @property {string | null} current_branch
 * @property {string} last_heartbeat_at
 */

/**
 * A row of `devices`.
 *
 * @typedef {object} DeviceRow
 * @property {string} id
 * @property {string} name
 * @property {string} device_type
 * @property {string | null} public_key
 * @property {boolean} is_active
 */

export class Server {
  #supabase;

  /**
   * @param {import("@supabase/supabase-js").SupabaseClient} supabase signed in
   * @param {string} userId
   */
  constructor(supabase, userId) {
    this.#supabase = supabase;
    this.userId = userId;
  }

  /** A notifier for one follower. */
  realtime() {
    return new Realtime(this.#supabase, this.userId);
  }

  #mine(table, columns) {
    return this.#supabase.from(table).select(columns).eq("user_id", this.userId);
  }

  /** The rows of the signed device list, all of them. */
  async listRows() {
    const page = (after) =>
      this.#mine("levi_device_list", "slot,entry,signature,cosignature").gt("slot", after).order("slot").limit(PAGE);
    return allPages(page, -1, ({ slot }) => slot);
  }

  /** @returns {Promise<import("./keyring.js").KeyringRow | null>} */
  keyring(memberId) {
    return rows(this.#mine("levi_keyrings", "epoch,enc,sealed").eq("member_id", memberId).maybeSingle());
  }

  registerDevice({ id, name, deviceType, publicKey }) {
    const row = { id, user_id: this.userId, name, device_type: deviceType, public_key: publicKey, is_active: true };
    return rows(this.#supabase.from("devices").insert(row));
  }

  /** Sessions are no longer shared with the device. */
  deactivateDevice(id) {
    return rows(this.#supabase.from("devices").update({ is_active: false }).eq("id", id));
  }

  requestPairing(id, request) {
    return rows(this.#supabase.from("levi_pairings").insert({ user_id: this.userId, id, request }));
  }

  /** @returns {Promise<{ answer: string | null } | null>} */
  pairing(id) {
    return rows(this.#mine("levi_pairings", "answer").eq("id", id).maybeSingle());
  }

  cosignPairing(id, cosignature) {
    return rows(this.#supabase.from("levi_pairings").update({ cosignature }).eq("user_id", this.userId).eq("id", id));
  }

  /** The public key in a device's row, which is the server's word. */
  async deviceKey(id) {
    const device = await rows(this.#supabase.from("devices").select("public_key").eq("id", id).maybeSingle());
    return device?.public_key ?? undefined;
  }

  devices() {
    const page = (after) =>
      after(this.#mine("devices", "id,name,device_type,public_key,is_active"), "id").order("id").limit(PAGE);
    return allPages(fromStart(page), undefined, ({ id }) => id);
  }

  sessions() {
    const columns = "id,title,status,device_id,working_directory,current_branch,last_heartbeat_at";
    const page = (after) => after(this.#mine("agent_coding_sessions", columns), "id").order("id").limit(PAGE);
    return allPages(fromStart(page), undefined, ({ id }) => id);
  }

  /** The device that owns a session. */
  async sessionOwner(sessionId) {
    const query = this.#supabase.from("agent_coding_sessions").select("device_id").eq("id", sessionId);
    return (await rows(query.maybeSingle()))?.device_id;
  }

  /** The envelope of a session for a device. */
  envelope(sessionId, deviceId) {
    const columns = "ephemeral_public_key,encrypted_secret,sender_device_id";
    const query = this.#supabase.from("agent_coding_session_secrets").select(columns);
    return rows(query.eq("session_id", sessionId).eq("device_id", deviceId).maybeSingle());
  }

  /** The envelopes of sessions for a device, of those that have one. */
  async envelopes(sessionIds, deviceId) {
    const found = [];
    for (let at = 0; at < sessionIds.length; at += MOST_IDS) {
      const columns = "session_id,ephemeral_public_key,encrypted_secret,sender_device_id";
      const query = this.#supabase.from("agent_coding_session_secrets").select(columns).eq("device_id", deviceId);
      found.push(...(await rows(query.in("session_id", sessionIds.slice(at, at + MOST_IDS)))));
    }
    return found;
  }

  /**
   * What changed after a place in the change feed, over all sessions or in one.
   *
   * @param {string} after
   * @param {number} limit
   * @param {Within} [within]
   * @returns {Promise<MessageRow[]>}
   */
  changes(after, limit, within) {
    return this.#changes(after, limit, MESSAGE, within);
  }

  /**
   * The first of `changes`, without what it says.
   *
   * @param {string} after
   * @param {Within} [within]
   */
  firstChange(after, within) {
    return this.#changes(after, 1, PLACE, within);
  }

  async #changes(after, limit, columns, { sessionId, until } = /** @type {Within} */ ({})) {
    let query = this.#feed(`${CHANGE},${columns}`).gt("change_id", after);
    if (sessionId) query = query.eq("session_id", sessionId);
    if (until) query = query.lte("change_id", until);
    const page = await feedRows(query.order("change_id").limit(limit));
    checkPage(page, "change", after, limit);
    return page;
  }

  #feed(columns) {
    return this.#mine("agent_coding_session_messages", columns);
  }

  /** The highest number among the messages of a session that changed up to a place in the feed; undefined without one. */
  async highestBy(sessionId, change) {
    const query = this.#feed("number:sequence_number::text").eq("session_id", sessionId).lte("change_id", change);
    const [last] = await feedRows(query.order("sequence_number", { ascending: false }).limit(1));
    return last?.number;
  }

  /** The last change; none before the first. */
  lastChange() {
    return feedRows(this.#backwards(CHANGE, 1));
  }

  /**
   * The last changes with their nonces, the last one first.
   *
   * @param {number} limit
   * @returns {Promise<ChangeNonce[]>}
   */
  lastNonces(limit) {
    return feedRows(this.#backwards(`${CHANGE},content_nonce`, limit));
  }

  #backwards(columns, limit) {
    return this.#feed(columns).order("change_id", { ascending: false }).limit(limit);
  }

  /**
   * What there is of some changes with one of these nonces each.
   *
   * @param {string[]} changes
   * @param {string[]} nonces
   * @returns {Promise<ChangeNonce[]>}
   */
  noncesAt(changes, nonces) {
    return feedRows(this.#feed(`${CHANGE},content_nonce`).in("change_id", changes).in("content_nonce", nonces));
  }

  /** @returns {Promise<MessageRow[]>} */
  messages(sessionId, after, limit) {
    return this.#inSession(sessionId, after, limit, MESSAGE);
  }

  /** The first of `messages`, without what it says. */
  firstMessage(sessionId, after) {
    return this.#inSession(sessionId, after, 1, PLACE);
  }

  /**
   * Those that say that they are of an epoch.
   *
   * @returns {Promise<MessageRow[]>}
   */
  messagesOf(epoch, sessionId, after, limit) {
    return this.#inSession(sessionId, after, limit, MESSAGE, epoch);
  }

  /** The first of `messagesOf`, without what it says. */
  firstMessageOf(epoch, sessionId, after) {
    return this.#inSession(sessionId, after, 1, PLACE, epoch);
  }

  async #inSession(sessionId, after, limit, columns, epoch = undefined) {
    let query = this.#supabase.from("agent_coding_session_messages").select(columns).eq("session_id", sessionId);
    if (epoch !== undefined) query = query.like("content_nonce", `v2:${epoch}:%`);
    const page = await rows(query.gt("sequence_number", after).order("sequence_number").limit(limit));
    checkPage(page, "number", after, limit);
    return page;
  }
}

/**
 * supabase-js returns errors; here they are thrown, with `retryAfterMs` where the server said how long to wait. Nothing is
 * tried again here, because who asks knows better when.
 */
async function rows(query) {
  /** @type {Response | undefined} */
  let answer = undefined;
  const ask = query.fetch;
  // supabase-js does not give the headers of an answer, and takes some with the status 404 for good ones.
  query.fetch = async (...request) => (answer = await ask(...request));
  const { data, error } = await query.retry(false);
  if (!error && answer?.ok) return data;
  const { status = 0, headers = undefined } = answer ?? {};
  const details = { code: error?.code, status, retryAfterMs: waitOf(headers?.get("retry-after")) };
  throw Object.assign(new Error(error?.message ?? `the server answers with ${status}`), details);
}

/** @param {any} error */
const codeOf = (error) => error.code;

/** As `rows`, of queries that name the columns of the change feed. */
async function feedRows(query) {
  try {
    const found = await rows(query);
    check(Array.isArray(found), "bad-page", "the server's answer is not a page");
    return found;
  } catch (error) {
    if (codeOf(error) !== MISSING_COLUMN) throw error;
    const mend = "apply the migration 20260102000000_change_feed.sql, as in docs/supabase.md";
    throw new LeviError("no-change-feed", `the project's table of messages has no change feed; ${mend}`);
  }
}

/** Seconds, or a date. */
function waitOf(header) {
  if (!header) return undefined;
  const ms = /^\d+$/.test(header) ? Number(header) * 1_000 : Date.parse(header) - Date.now();
  return Number.isFinite(ms) ? Math.max(ms, 0) : undefined;
}

/** Only an empty page is the end, because the server may return fewer rows than it was asked for. */
async function allPages(page, start, keyOf) {
  const all = [];
  for (let after = start; ; after = keyOf(all.at(-1))) {
    const more = await rows(page(after));
    if (more.length === 0) return all;
    all.push(...more);
    check(all.at(-1 - more.length) === undefined || keyOf(all.at(-1)) > after, "bad-page", "the server repeats itself");
  }
}

/** Pages by an id, which nothing is before. */
const fromStart = (page) => (after) =>
  page((query, column) => (after === undefined ? query : query.gt(column, after)));

/** 64 bits, as text. */
const isNumber = (text) => typeof text === "string" && /^-?\d{1,19}$/.test(text) && BigInt.asIntN(64, BigInt(text)) === BigInt(text);

/** The keys of a page rise, lie past the cursor and are at most `limit`. */
function checkPage(page, key, after, limit) {
  let last = BigInt(after);
  const rises = page.every((row) => {
    if (![row[key], row.number].every(isNumber) || typeof row.session_id !== "string") return false;
    const number = BigInt(row[key]);
    const higher = number > last;
    last = number;
    return higher;
  });
  if (!rises || page.length > limit) throw new LeviError("bad-page", "the server's page is not what was asked for");
}
