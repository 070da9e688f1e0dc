// Adds a device to the user's signed list, with the code that `levi pair` shows on another one.
//
//   node pair.mjs CODE NAME > device.json       then LEVI_DEVICE_FILE=device.json node read.mjs SESSION_ID
//
// CODE may be `-`: it is then read from standard input, after the fingerprint was shown.
//
// Environment: SUPABASE_URL, SUPABASE_PUBLISHABLE_KEY, LEVI_EMAIL, LEVI_PASSWORD. The file that it prints holds the
// device's private keys.

import { createInterface } from "node:readline";
import { fingerprint, newKeys, pair, publicKeysOf } from "../src/index.js";
import { signIn } from "./account.mjs";

try {
  await main(...process.argv.slice(2));
} catch (error) {
  console.error(`pair: ${error.message}`);
  process.exitCode = 1;
}

async function main(typed, name) {
  if (!typed || !name) throw new Error("usage: node pair.mjs CODE NAME > device.json");
  const { supabase, userId } = await signIn();
  const keys = newKeys();
  console.error(`Compare on the other device: ${name}, ${await fingerprint({ keys: await publicKeysOf(keys) })}`);
  const code = typed === "-" ? await firstLine() : typed;
  console.log(JSON.stringify(await pair({ supabase, userId, code, name, keys })));
  supabase.auth.stopAutoRefresh();
}

async function firstLine() {
  const lines = createInterface({ input: process.stdin });
  try {
    for await (const line of lines) return line;
    return "";
  } finally {
    lines.close();
  }
}
