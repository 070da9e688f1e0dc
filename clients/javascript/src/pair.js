// Adds this device to the user's list, with a code that a device on the list shows (docs/trust.md).

import { fromBase64, toBase64 } from "./bytes.js";
import { LeviError, check } from "./error.js";
import { newKeys, publicKeysOf } from "./keys.js";
import { checkName, fingerprint } from "./member.js";
import { parsePairingCode } from "./pairing-code.js";
import { FRESH_BYTES, Join } from "./pairing.js";
import { randomBytes } from "./primitives.js";
import { geneses } from "./read-list.js";
import { Server } from "./server.js";

const POLL_MS = 1_000;
/** As long as a code is valid. */
const LONGEST_MS = 600_000;
const ALREADY_THERE = "23505";

/**
 * A pairing that has begun. Plain data, and secret: it has the new device's keys and the code.
 *
 * @typedef {object} Pending
 * @property {import("./reader.js").Device} device
 * @property {string} name
 * @property {string} deviceType
 * @property {string} code
 * @property {string} fresh
 * @property {number} until milliseconds since 1970
 * @property {string} [answer] of the other device, once it has come
 */

/**
 * What to tell of a pairing while it lasts.
 *
 * @typedef {object} Progress
 * @property {(fingerprint: string) => unknown} [onRequested] shows what the person compares on the other device
 * @property {(pending: Pending) => unknown} [onPending] stores it, so that `resumePairing` can go on with it. Else the list
 *   may get a member whose keys nobody has, where this program ends in between
 * @property {AbortSignal} [signal]
 */

/**
 * @param {object} options
 * @param {import("@supabase/supabase-js").SupabaseClient} options.supabase signed in
 * @param {string} options.userId
 * @param {string} options.code
 * @param {string} options.name of this device, for people
 * @param {string} [options.deviceType]
 * @param {import("./keys.js").MemberKeys} [options.keys] new ones, made before for a caller that shows their fingerprint
 *   first
 * @param {Progress["onRequested"]} [options.onRequested]
 * @param {Progress["onPending"]} [options.onPending]
 * @param {AbortSignal} [options.signal]
 * @returns {Promise<{ device: import("./reader.js").Device, pin: import("./trust.js").Pin }>} to be stored: the keys
 *   where nothing else reads them
 */
export async function pair({ supabase, userId, code, name, deviceType = "web", keys = newKeys(), ...progress }) {
  checkName(name);
  parsePairingCode(code);
  const device = { id: crypto.randomUUID(), keys };
  const fresh = toBase64(randomBytes(FRESH_BYTES));
  const pending = { device, name, deviceType, code, fresh, until: Date.now() + LONGEST_MS };
  await progress.onPending?.(pending);
  return resumePairing({ supabase, userId, pending, ...progress });
}

/**
 * Goes on with a pairing that `onPending` stored. A LeviError, and the signal before the other device has answered, end it
 * for good; the keys are then on no list.
 *
 * @param {object} options
 * @param {import("@supabase/supabase-js").SupabaseClient} options.supabase signed in
 * @param {string} options.userId
 * @param {Pending} options.pending
 * @param {Progress["onRequested"]} [options.onRequested]
 * @param {Progress["onPending"]} [options.onPending]
 * @param {AbortSignal} [options.signal]
 * @returns {Promise<{ device: import("./reader.js").Device, pin: import("./trust.js").Pin }>} to be stored
 */
export async function resumePairing({ supabase, userId, pending, ...progress }) {
  const server = new Server(supabase, userId);
  const { device, name } = pending;
  /** @type {import("./member.js").Member} */
  const member = { id: device.id, type: "device", name, keys: await publicKeysOf(device.keys) };
  const join = await Join.begin(userId, pending.code, member, fromBase64(pending.fresh));
  let answer = pending.answer;
  try {
    answer ??= await requested(server, join, member, pending, progress);
    const list = await finished(server, join, join.openAnswer(answer), pending, progress.signal);
    return { device, pin: { genesis: list.genesis, rows: list.rows } };
  } catch (error) {
    const mayBeAdded = answer !== undefined && !(error instanceof LeviError);
    if (!mayBeAdded) await server.deactivateDevice(device.id).catch(() => {}); // Why pairing failed is worth more.
    throw error;
  }
}

/** The answer of the other device, which is stored before this one agrees to it. */
async function requested(server, join, member, pending, /** @type {Progress} */ { onRequested, onPending, signal }) {
  const { device, name, deviceType, until } = pending;
  const row = { id: device.id, name, deviceType, publicKey: member.keys.envelope };
  await unlessThere(server.registerDevice(row));
  await unlessThere(server.requestPairing(join.rowId, join.request()));
  await onRequested?.(await fingerprint(member));
  const answer = await asked(signal, until, async () => (await pairingOf(server, join.rowId)).answer);
  join.openAnswer(answer);
  await onPending?.({ ...pending, answer });
  return answer;
}

/** The list with this device on it, once the other device has added it. */
async function finished(server, join, answer, { device, until }, signal) {
  const before = await added(join, answer, await server.listRows());
  if (before) return before;
  await server.cosignPairing(join.rowId, await join.cosign(answer, await server.listRows(), device.keys));
  return asked(signal, until, async () => added(join, answer, await server.listRows()));
}

/** A row that was written before this program was ended is as good. */
async function unlessThere(insert) {
  await insert.catch((error) => {
    if (error.code !== ALREADY_THERE) throw error;
  });
}

/**
 * Registers this device without a device list: every row of `devices` is believed. Sessions are shared with it from now
 * on, and earlier ones by `levi share`. Throws `has-list` where the user has a signed list.
 *
 * @param {object} options
 * @param {import("@supabase/supabase-js").SupabaseClient} options.supabase signed in
 * @param {string} options.userId
 * @param {string} options.name of this device, for people
 * @param {string} [options.deviceType]
 * @returns {Promise<{ device: import("./reader.js").Device, pin?: undefined }>} to be stored
 */
export async function register({ supabase, userId, name, deviceType = "web" }) {
  checkName(name);
  const server = new Server(supabase, userId);
  const lists = await geneses(userId, await server.listRows());
  check(lists.length === 0, "has-list", "your devices keep a signed list; add this one with the code that `levi pair` shows");
  const device = { id: crypto.randomUUID(), keys: newKeys() };
  const { envelope } = await publicKeysOf(device.keys);
  await server.registerDevice({ id: device.id, name, deviceType, publicKey: envelope });
  return { device };
}

/**
 * Sessions are no longer shared with the device where there is no list. A member of the list stays one until `levi remove`.
 *
 * @param {object} options
 * @param {import("@supabase/supabase-js").SupabaseClient} options.supabase signed in
 * @param {string} options.userId
 * @param {string} options.deviceId
 */
export async function deactivate({ supabase, userId, deviceId }) {
  await new Server(supabase, userId).deactivateDevice(deviceId);
}

async function pairingOf(server, id) {
  const pairing = await server.pairing(id);
  if (!pairing) throw new LeviError("refused", "the other device did not add this one; show a new code");
  return pairing;
}

/** The list with this device on it, or undefined while it is not. */
async function added(join, answer, rows) {
  try {
    return await join.finish(answer, rows);
  } catch (error) {
    if (error instanceof LeviError && error.code === "not-added") return undefined;
    throw error;
  }
}

/** Asks again and again, as long as the code is valid. That the server does not answer is no answer. */
async function asked(signal, until, ask) {
  while (Date.now() <= until) {
    signal?.throwIfAborted();
    const found = await ask().catch((error) => {
      if (error instanceof LeviError) throw error;
    });
    if (found) return found;
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
  }
  throw new LeviError("expired", "the pairing code has expired; show a new one");
}
