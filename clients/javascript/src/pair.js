// Adds this device to the user's list, with a code that a device on the list shows (docs/trust.md).

import { LeviError } from "./error.js";
import { newKeys, publicKeysOf } from "./keys.js";
import { checkName, fingerprint } from "./member.js";
import { Join } from "./pairing.js";
import { Server } from "./server.js";

const POLL_MS = 1_000;
/** As long as a code is valid. */
const LONGEST_MS = 600_000;

/**
 * @param {object} options
 * @param {import("@supabase/supabase-js").SupabaseClient} options.supabase signed in
 * @param {string} options.userId
 * @param {string} options.code
 * @param {string} options.name of this device, for people
 * @param {string} [options.deviceType]
 * @param {import("./keys.js").MemberKeys} [options.keys] new ones, made before for a caller that shows their fingerprint
 *   first
 * @param {(fingerprint: string) => unknown} [options.onRequested] shows what the person compares on the other device
 * @param {AbortSignal} [options.signal]
 * @returns {Promise<{ device: import("./reader.js").Device, pin: import("./trust.js").Pin }>} to be stored: the keys
 *   where nothing else reads them
 */
export async function pair(options) {
  const { supabase, userId, code, name, deviceType = "web", keys = newKeys(), onRequested = () => {}, signal } = options;
  const server = new Server(supabase, userId);
  checkName(name);
  const device = { id: crypto.randomUUID(), keys };
  /** @type {import("./member.js").Member} */
  const member = { id: device.id, type: "device", name, keys: await publicKeysOf(device.keys) };
  const join = await Join.begin(userId, code, member);
  await server.registerDevice({ id: device.id, name, deviceType, publicKey: member.keys.envelope });
  try {
    await server.requestPairing(join.rowId, join.request());
    await onRequested(await fingerprint(member));
    const list = await finished(server, join, device.keys, signal);
    return { device, pin: { genesis: list.genesis, rows: list.rows } };
  } catch (error) {
    await server.deactivateDevice(device.id).catch(() => {}); // Why pairing failed is worth more.
    throw error;
  }
}

/** The list with this device on it, once the other device has answered and added it. */
async function finished(server, join, keys, signal) {
  const answer = join.openAnswer(await until(signal, async () => (await pairingOf(server, join.rowId)).answer));
  await server.cosignPairing(join.rowId, await join.cosign(answer, await server.listRows(), keys));
  return until(signal, async () => added(join, answer, await server.listRows()));
}

/**
 * Registers this device without a device list: every row of `devices` is believed. Sessions are shared with it from now
 * on, and earlier ones by `levi share`.
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
  const device = { id: crypto.randomUUID(), keys: newKeys() };
  const { envelope } = await publicKeysOf(device.keys);
  await new Server(supabase, userId).registerDevice({ id: device.id, name, deviceType, publicKey: envelope });
  return { device };
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

/** Asks again and again, as long as a code is valid. */
async function until(signal, ask) {
  for (let waited = 0; waited <= LONGEST_MS; waited += POLL_MS) {
    signal?.throwIfAborted();
    const found = await ask();
    if (found) return found;
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
  }
  throw new LeviError("expired", "the pairing code has expired; show a new one");
}
