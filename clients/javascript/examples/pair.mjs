// Adds a device to the user's signed list, with the code that `levi pair` shows on another one.
//
//   node pair.mjs CODE NAME > device.json       then LEVI_DEVICE_FILE=device.json node read.mjs SESSION_ID
//
// Environment: SUPABASE_URL, SUPABASE_PUBLISHABLE_KEY, LEVI_EMAIL, LEVI_PASSWORD. The file that it prints holds the
// device's private keys.

import { pair } from "../src/index.js";
import { signIn } from "./account.mjs";

try {
  await main(...process.argv.slice(2));
} catch (error) {
  console.error(`pair: ${error.message}`);
  process.exitCode = 1;
}

async function main(code, name) {
  if (!code || !name) throw new Error("usage: node pair.mjs CODE NAME > device.json");
  const { supabase, userId } = await signIn();
  const onRequested = (fingerprint) => console.error(`Compare on the other device: ${name}, ${fingerprint}`);
  console.log(JSON.stringify(await pair({ supabase, userId, code, name, onRequested })));
  supabase.auth.stopAutoRefresh();
}
