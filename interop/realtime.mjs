// Realtime of the fake Supabase, seen by @supabase/realtime-js, a client that is not ours: what Levi writes arrives, also
// after the token was renewed on the socket, and at nobody else's.
//
//   node realtime.mjs LEVI FAKE_SUPABASE FOLDER

import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { mkdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { RealtimeClient } from "@supabase/realtime-js";
import WebSocket from "ws";
import { levi, refresh, signUp, startFake, within } from "./fake.mjs";

const [program, fake, folder] = process.argv.slice(2);
/** Of the access tokens. Long enough for the first half of the test, twice at once, on a busy machine. */
const LIFETIME_S = 30;
const PATIENCE_MS = 30_000;

rmSync(folder, { recursive: true, force: true });
mkdirSync(folder, { recursive: true });
const server = await startFake(fake, String(LIFETIME_S));
let passed = 0;
try {
  // Side by side, because both wait for a token to run out.
  await Promise.all(["1.0.0", "2.0.0"].map(listens));
  console.log(`${passed} passed, 0 failed`);
} finally {
  server.stop();
}

async function listens(vsn) {
  const device = join(folder, vsn);
  let ada = await signUp(server);
  const began = Date.now();
  const ben = await signUp(server);
  const hers = await subscribe(vsn, ada, ada.id);
  const his = await subscribe(vsn, ben, ada.id);
  const anybodys = await subscribe(vsn, ben);
  const forgotten = await subscribe(vsn, ada, ada.id);

  await levi(program, server, ada, device, ["login", "--password-stdin", "--device-name", "laptop"]).end(ada.password);
  const session_id = randomUUID();
  const message = (sequence_number) => ({ session_id, sequence_number, content: "of no concern to Realtime" });
  const sync = (number) => levi(program, server, ada, device, ["sync"]).end(`${JSON.stringify(message(number))}\n`);

  await sync(1);
  const first = await within(PATIENCE_MS, "the first event", hers.next());
  assert.equal(first.eventType, "INSERT");
  assert.equal(first.new.session_id, session_id);
  assert.equal(first.new.sequence_number, 1);
  assert.ok(!JSON.stringify(first).includes("concern"), "what was written is sealed");
  ok(`${vsn}: what Levi writes arrives`);

  const until = (seconds) => new Promise((resolve) => setTimeout(resolve, began + seconds * 1_000 - Date.now()));
  await until(0.75 * LIFETIME_S);
  ada = await refresh(server, ada);
  await hers.client.setAuth(ada.token);
  await until(LIFETIME_S + 1);
  // The server looks at the tokens when something is written.
  await sync(2);
  const second = await within(PATIENCE_MS, "the event after the renewal", hers.next());
  assert.equal(second.new.sequence_number, 2);
  await within(PATIENCE_MS, "the end of the channel whose token was not renewed", forgotten.ended);
  ok(`${vsn}: it arrives after the token was renewed on the socket, and not without`);

  assert.deepEqual([his.events, anybodys.events], [[], []]);
  ok(`${vsn}: another user is told nothing, with or without the filter`);
  for (const { client } of [hers, his, anybodys, forgotten]) await client.disconnect();
}

function ok(what) {
  passed++;
  console.log(`ok  ${what}`);
}

/** A client of `user` that subscribes to the messages of the user `of`, or to all. */
async function subscribe(vsn, user, of) {
  const address = `${server.url.replace("http", "ws")}/realtime/v1`;
  const client = new RealtimeClient(address, { params: { apikey: server.publishable_key }, transport: WebSocket, vsn });
  await client.setAuth(user.token);
  const events = [];
  let arrived = () => {};
  let end;
  const ended = new Promise((resolve) => (end = resolve));
  const channel = client.channel("any-name");
  const filter = of && { filter: `user_id=eq.${of}` };
  const table = "agent_coding_session_messages";
  channel.on("postgres_changes", { event: "*", schema: "public", table, ...filter }, (event) => {
    events.push(event);
    arrived();
  });
  const confirmed = new Promise((resolve) => channel.on("system", {}, ({ status }) => status === "ok" && resolve()));
  await within(PATIENCE_MS, "SUBSCRIBED", new Promise((resolve, reject) => {
    channel.subscribe((status, error) => {
      if (status === "SUBSCRIBED") resolve();
      else {
        end(status);
        reject(error ?? new Error(status));
      }
    });
  }));
  await within(PATIENCE_MS, "the confirmation", confirmed);
  return {
    client,
    events,
    ended,
    next: async () => {
      while (events.length === 0) await new Promise((resolve) => (arrived = resolve));
      return events.shift();
    },
  };
}
