// Prints a session that another device wrote: one JSON line per message, in order.
//
//   node read.mjs SESSION_ID > session.ndjson
//
// Environment: SUPABASE_URL, SUPABASE_PUBLISHABLE_KEY, LEVI_EMAIL, LEVI_PASSWORD, and this device: LEVI_DEVICE_FILE as
// pair.mjs wrote it, or without a device list LEVI_DEVICE_ID and LEVI_DEVICE_PRIVATE_KEY (X25519, base64).
// Exit codes: 0 all rows were read, 1 nothing could be read, 2 some rows could not be opened (listed on stderr).

import { readFileSync } from "node:fs";
import { Reader } from "../src/index.js";
import { setting, signIn } from "./account.mjs";

try {
  await main(process.argv[2]);
} catch (error) {
  console.error(`read: ${error.message}`);
  process.exitCode = 1;
}

async function main(sessionId) {
  if (!sessionId) throw new Error("usage: node read.mjs SESSION_ID");
  const { supabase, userId } = await signIn();
  const reader = await Reader.open({ supabase, userId, ...thisDevice() });
  for await (const message of reader.messages(sessionId)) await print(message);
  supabase.auth.stopAutoRefresh();
}

function thisDevice() {
  if (process.env.LEVI_DEVICE_FILE) return JSON.parse(readFileSync(setting("LEVI_DEVICE_FILE"), "utf8"));
  const keys = { envelope: setting("LEVI_DEVICE_PRIVATE_KEY") };
  return { device: { id: setting("LEVI_DEVICE_ID").toLowerCase(), keys } };
}

async function print({ sequenceNumber, content, problem }) {
  if (problem) {
    console.error(`read: message ${sequenceNumber} could not be opened: ${problem}`);
    process.exitCode = 2;
    return;
  }
  const line = `{"sequence_number":${sequenceNumber},"content":${JSON.stringify(content)}}\n`;
  if (!process.stdout.write(line)) await new Promise((drained) => process.stdout.once("drain", drained));
}
