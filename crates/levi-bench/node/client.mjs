// What people would write instead, with the official client: an outbox in SQLite, batches of 50, messages sealed with
// XChaCha20-Poly1305. No retries, no order across batches, no keys to manage. Prints what it took as JSON.
//
//   node client.mjs URL KEY TOKEN SESSION MESSAGES CONTENT_BYTES OUTBOX drain|live

import { randomBytes } from "node:crypto";
import { performance } from "node:perf_hooks";
import { setTimeout as sleep } from "node:timers/promises";

import { xchacha20poly1305 } from "@noble/ciphers/chacha.js";
import { createClient } from "@supabase/supabase-js";
import Database from "better-sqlite3";

const [url, key, token, session, messages, bytes, file, what] = process.argv.slice(2);
const supabase = createClient(url, key, {
  auth: { persistSession: false, autoRefreshToken: false },
  global: { headers: { Authorization: `Bearer ${token}` } },
  // Not used here, and Node before 22 has none.
  realtime: { transport: globalThis.WebSocket ?? class {} },
});
const secret = randomBytes(32);
const text = "The agent edited src/main.rs and ran the tests; all of them passed. ";
const content = text.repeat(Math.ceil(bytes / text.length)).slice(0, Number(bytes));

const outbox = new Database(file);
outbox.pragma("journal_mode = WAL");
outbox.pragma("synchronous = FULL");
outbox.exec("CREATE TABLE outbox (id INTEGER PRIMARY KEY, content TEXT NOT NULL)");
const insert = outbox.prepare("INSERT INTO outbox (content) VALUES (?)");
const oldest = outbox.prepare("SELECT id, content FROM outbox ORDER BY id LIMIT 50");
const remove = outbox.prepare("DELETE FROM outbox WHERE id <= ?");

function seal({ id, content }) {
  const nonce = randomBytes(24);
  const position = Buffer.from(`${session}:${id}`);
  const sealed = xchacha20poly1305(secret, nonce, position).encrypt(Buffer.from(content));
  return {
    session_id: session,
    sequence_number: id,
    content_encrypted: Buffer.from(sealed).toString("base64"),
    content_nonce: nonce.toString("base64"),
  };
}

/** Sends the oldest rows, and says how many. */
async function send() {
  const rows = oldest.all();
  if (rows.length === 0) return 0;
  const table = supabase.from("agent_coding_session_messages");
  const { error } = await table.upsert(rows.map(seal), { onConflict: "session_id,sequence_number" });
  if (error) throw error;
  remove.run(rows.at(-1).id);
  return rows.length;
}

/** Everything that waits. */
async function drain() {
  outbox.transaction(() => {
    for (let number = 0; number < messages; number += 1) insert.run(content);
  })();
  const [begun, cpu] = [performance.now(), process.cpuUsage()];
  while ((await send()) > 0);
  const used = process.cpuUsage(cpu);
  return { wall_ms: performance.now() - begun, cpu_ms: (used.user + used.system) / 1e3 };
}

/** One message at a time, as they are written; from there to the server's answer. */
async function live() {
  const waits = [];
  for (let number = 0; number < messages; number += 1) {
    await sleep(100);
    const begun = performance.now();
    insert.run(content);
    await send();
    waits.push(performance.now() - begun);
  }
  waits.sort((one, other) => one - other);
  return { p50_ms: waits[Math.floor(waits.length / 2)] };
}

const took = await (what === "live" ? live() : drain());
console.log(JSON.stringify({ ...took, peak_kib: process.resourceUsage().maxRSS }));
