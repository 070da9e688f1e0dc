// Prints a session that another device wrote: one JSON line per message, in order.
//
//   node read.mjs SESSION_ID > session.ndjson
//
// Environment: SUPABASE_URL, SUPABASE_PUBLISHABLE_KEY, LEVI_EMAIL, LEVI_PASSWORD, and this device's
// LEVI_DEVICE_ID and LEVI_DEVICE_PRIVATE_KEY (X25519, base64).
// Exit codes: 0 all rows were read, 1 nothing could be read, 2 some rows could not be opened (listed on stderr).

import { rows, setting, signIn } from "./account.mjs";
import { openEnvelope, openMessage, parseSecret } from "../src/index.js";

const PAGE = 500;

try {
  await main(process.argv[2]);
} catch (error) {
  console.error(`read: ${error.message}`);
  process.exitCode = 1;
}

async function main(sessionArgument) {
  if (!sessionArgument) throw new Error("usage: node read.mjs SESSION_ID");
  const { supabase, userId } = await signIn();
  const session = rows(
    await supabase.from("agent_coding_sessions").select("id,device_id").eq("id", sessionArgument).maybeSingle(),
  );
  if (!session) throw new Error("this user has no session with that id");
  const key = await sessionKey(supabase, userId, session);
  await eachMessage(supabase, session.id, (row) => print(key, session.id, row));
  supabase.auth.stopAutoRefresh();
}

async function sessionKey(supabase, userId, session) {
  const recipientDeviceId = setting("LEVI_DEVICE_ID").toLowerCase();
  const envelope = rows(
    await supabase
      .from("agent_coding_session_secrets")
      .select("ephemeral_public_key,encrypted_secret,sender_device_id")
      .eq("session_id", session.id)
      .eq("device_id", recipientDeviceId)
      .maybeSingle(),
  );
  if (!envelope) throw new Error("this device has no envelope for the session; share the session with it first");
  // Either the device in the row or the session's device may have sealed it: a row that another device wrote first
  // keeps that device when the session's device writes it again without one.
  let failure;
  for (const senderDeviceId of new Set([envelope.sender_device_id ?? session.device_id, session.device_id])) {
    const ids = { userId, sessionId: session.id, senderDeviceId, recipientDeviceId };
    try {
      return parseSecret(await openFrom(supabase, envelope, ids));
    } catch (error) {
      failure ??= error; // The first error is the more useful one.
    }
  }
  throw failure;
}

async function openFrom(supabase, envelope, ids) {
  const sender = rows(
    await supabase.from("devices").select("public_key").eq("id", ids.senderDeviceId).maybeSingle(),
  );
  if (!sender?.public_key) throw new Error(`device ${ids.senderDeviceId}, which sealed the envelope, has no public key`);
  return openEnvelope(envelope, ids, sender.public_key, setting("LEVI_DEVICE_PRIVATE_KEY"));
}

/** Pages by cursor, not by offset: rows that arrive meanwhile shift nothing. */
async function eachMessage(supabase, sessionId, handle) {
  let last = "-1";
  for (;;) {
    const page = rows(
      await supabase
        .from("agent_coding_session_messages")
        // As text, because a JavaScript number is exact only up to 2^53.
        .select("number:sequence_number::text,content_encrypted,content_nonce")
        .eq("session_id", sessionId)
        .gt("sequence_number", last)
        .order("sequence_number")
        .limit(PAGE),
    );
    // The server may return fewer rows than requested, so only an empty page is the end.
    if (page.length === 0) return;
    for (const row of page) await handle(row);
    last = page.at(-1).number;
  }
}

async function print(key, sessionId, row) {
  let content;
  try {
    content = openMessage(key, sessionId, row.number, row);
  } catch {
    console.error(`read: message ${row.number} could not be opened`);
    process.exitCode = 2;
    return;
  }
  const line = `{"sequence_number":${row.number},"content":${JSON.stringify(content)}}\n`;
  if (!process.stdout.write(line)) await new Promise((drained) => process.stdout.once("drain", drained));
}
