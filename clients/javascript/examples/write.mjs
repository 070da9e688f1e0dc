// Writes a session as a device of its own: reads {"sequence_number"?, "content"} lines, seals, upserts.
//
//   node write.mjs SESSION_ID REPOSITORY_ID < session.ndjson
//
// Environment as for read.mjs. The device, the repository and the session are registered if they do not exist,
// and every active device of the user gets an envelope. Prints one JSON line with what was written.

import { createInterface } from "node:readline";
import { rows, setting, signIn } from "./account.mjs";
import { deviceKeyOf, newSecret, parseSecret, sealEnvelope, sealMessage } from "../src/index.js";

const BATCH = 50;

try {
  // PostgreSQL returns ids in lower case, and the id is part of what is sealed.
  await main(...process.argv.slice(2, 4).map((id) => id.toLowerCase()));
} catch (error) {
  console.error(`write: ${error.message}`);
  process.exitCode = 1;
}

async function main(sessionId, repositoryId) {
  if (!sessionId || !repositoryId) throw new Error("usage: node write.mjs SESSION_ID REPOSITORY_ID < session.ndjson");
  const { supabase, userId } = await signIn();
  const deviceId = setting("LEVI_DEVICE_ID").toLowerCase();
  const put = upserts(supabase);
  await register(put, { userId, deviceId, repositoryId, sessionId });
  const secret = newSecret();
  const devices = await distribute(supabase, put, secret, { userId, sessionId, senderDeviceId: deviceId });
  const messages = await send(put, parseSecret(secret), sessionId);
  console.log(JSON.stringify({ session_id: sessionId, devices, messages }));
  supabase.auth.stopAutoRefresh();
}

function upserts(supabase) {
  return async (table, onConflict, values) => rows(await supabase.from(table).upsert(values, { onConflict }));
}

/** Parents before children: the foreign keys and the policies look for them. */
async function register(put, { userId, deviceId, repositoryId, sessionId }) {
  const public_key = await deviceKeyOf(setting("LEVI_DEVICE_PRIVATE_KEY"));
  await put("devices", "id", [
    { id: deviceId, user_id: userId, name: "JavaScript example", device_type: "desktop", public_key, is_active: true },
  ]);
  const ours = { user_id: userId, device_id: deviceId };
  const folder = { name: "example", local_path: `/example/${repositoryId}`, is_worktree: false, status: "active" };
  await put("repositories", "id", [{ id: repositoryId, ...ours, ...folder }]);
  await put("agent_coding_sessions", "id", [
    { id: sessionId, ...ours, repository_id: repositoryId, status: "active", is_worktree: false },
  ]);
}

async function distribute(supabase, put, secret, ids) {
  const devices = rows(
    await supabase
      .from("devices")
      .select("id,public_key")
      .eq("user_id", ids.userId)
      .eq("is_active", true)
      .not("public_key", "is", null),
  );
  const privateKey = setting("LEVI_DEVICE_PRIVATE_KEY");
  const envelopes = await Promise.all(
    devices.map(async (device) => ({
      session_id: ids.sessionId,
      device_id: device.id,
      // This device owns the session. An explicit null overwrites the sender in an existing row.
      sender_device_id: null,
      ...(await sealEnvelope(secret, { ...ids, recipientDeviceId: device.id }, privateKey, device.public_key)),
    })),
  );
  await put("agent_coding_session_secrets", "session_id,device_id", envelopes);
  return devices.length;
}

async function send(put, key, sessionId) {
  let [next, written, batch] = [0n, 0, []];
  const flush = async () => {
    if (batch.length > 0) await put("agent_coding_session_messages", "session_id,sequence_number", batch);
    written += batch.length;
    batch = [];
  };
  for await (const line of createInterface({ input: process.stdin, crlfDelay: Infinity })) {
    if (line === "") continue;
    // JSON.parse would round a number past 2^53, so it is read from the line's text.
    const [, given] = line.match(/^\{\s*"sequence_number"\s*:\s*(\d+)/) ?? [];
    const number = given === undefined ? next : BigInt(given);
    const { content } = JSON.parse(line);
    batch.push({ session_id: sessionId, sequence_number: `${number}`, ...sealMessage(key, sessionId, number, content) });
    next = number + 1n;
    if (batch.length === BATCH) await flush();
  }
  await flush();
  return written;
}
