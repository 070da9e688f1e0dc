// A new device against a running Supabase: pairing, the change feed, and what it refuses.
//
//   LEVI_SERVER="$(the line that interop/lite.mjs prints)" node --test test-server/

import assert from "node:assert/strict";
import { before, test } from "node:test";
import { Follower, Reader, pair } from "../src/index.js";
import { signEntry } from "../src/entry.js";
import { owner } from "../testing/scene.js";
import { OldDevice, evil, eventually, rows, signUp } from "../testing/old-device.js";

let user, old, device, pin;

before(async () => {
  user = await signUp();
  old = await OldDevice.begin(user);
  ({ device, pin } = await paired("browser"));
});

/** A new device on the list. */
async function paired(name) {
  const { code, paired } = old.invite();
  let answered;
  const added = await pair({ ...user, code, name, onRequested: (seen) => void (answered = paired(seen)) });
  await answered;
  return added;
}

const open = (options = {}) => Reader.open({ ...user, device, pin, ...options });

/** Every change since a cursor, and the last cursor. */
async function all(reader, cursor) {
  const changes = [];
  for (let page = { cursor, more: true }; page.more; cursor = page.cursor) {
    page = await reader.changes(page.cursor, 3);
    changes.push(...page.changes);
  }
  return { changes, cursor };
}

const brief = ({ changes }) => changes.map(({ sequenceNumber, content, problem, arrival }) => [sequenceNumber, content ?? problem, arrival]);

test("the paired device finds itself on the list under its name", async () => {
  const reader = await open();
  assert.equal(reader.list.head, old.scene.list.head);
  assert.deepEqual(reader.list.activeDevices.map(({ name }) => name), ["laptop", "browser"]);
});

test("the feed gives what was written once, and edits as edits", async () => {
  const reader = await open();
  const { cursor } = await all(reader);
  const session = await old.session();
  const texts = ["one", "", "two \u{1f600}", "NUL \0", "x".repeat(100_000)];
  for (const [number, text] of texts.entries()) await old.write(session, number, text);
  const first = await all(reader, cursor);
  assert.deepEqual(brief(first), texts.map((text, number) => [String(number), text, "new"]));
  assert.deepEqual((await all(reader, first.cursor)).changes, []);
  await old.write(session, 1, "edited");
  // Another reader goes on with the stored cursor.
  const second = await all(await open(), first.cursor);
  assert.deepEqual(brief(second), [["1", "edited", "edited"]]);
  // Supabase Lite rounds higher numbers.
  const last = String(Number.MAX_SAFE_INTEGER);
  await old.write(session, last, "far away");
  assert.deepEqual(brief(await all(reader, second.cursor)), [[last, "far away", "new"]]);
});

test("a session is read in order", async () => {
  const session = await old.session();
  for (const number of [3, 1, 2]) await old.write(session, number, `text ${number}`);
  const found = [];
  for await (const message of (await open()).messages(session.id)) found.push(message);
  assert.deepEqual(found.map(({ content }) => content), ["text 1", "text 2", "text 3"]);
});

test("a message whose key is missing is delivered as that, and again when the key has come", async () => {
  const reader = await open();
  const { cursor } = await all(reader);
  const session = await old.session({ shared: false });
  for (const number of [0, 1, 2, 3, 4]) await old.write(session, number, `text ${number}`);
  const locked = await all(reader, cursor);
  assert.deepEqual(brief(locked), [0, 1, 2, 3, 4].map((number) => [String(number), "no-envelope", "new"]));
  assert.deepEqual((await all(reader, locked.cursor)).changes, []);
  await old.share(session);
  const unlocked = await all(await open(), locked.cursor);
  assert.deepEqual(brief(unlocked), [0, 1, 2, 3, 4].map((number) => [String(number), `text ${number}`, "unlocked"]));
  assert.deepEqual((await all(reader, unlocked.cursor)).changes, []);
});

test("forged, moved and downgraded rows are refused by name, and the others are read", async () => {
  const reader = await open();
  const { cursor } = await all(reader);
  const session = await old.session();
  await old.write(session, 0, "version 1", 0);
  for (const number of [1, 2, 3]) await old.write(session, number, `text ${number}`);
  const table = () => evil().from("agent_coding_session_messages");
  const row = await rows(table().select().eq("session_id", session.id).eq("sequence_number", 3).single());
  const sealed = { content_encrypted: row.content_encrypted, content_nonce: row.content_nonce };
  await rows(table().update(sealed).eq("session_id", session.id).eq("sequence_number", 2));
  await old.write(session, 4, "version 1 again", 0);
  await old.write(session, 5, "text 5");
  const found = brief(await all(reader, cursor)).sort(([a], [b]) => a - b);
  assert.deepEqual(found.map(([, outcome]) => outcome), [
    ...["version 1", "text 1", "forged", "text 3", "stale-epoch", "text 5"],
  ]);
});

test("follow delivers what is written meanwhile, and ends when it is told to", async () => {
  const reader = await open();
  const end = new AbortController();
  const { cursor } = await all(reader);
  const session = await old.session();
  const follower = new Follower(reader, { cursor, signal: end.signal });
  const seen = [];
  const following = (async () => {
    for await (const page of follower) seen.push(...page.changes);
  })();
  await old.write(session, 0, "live");
  follower.wake();
  await eventually(() => seen.length === 1);
  await old.write(session, 1, "by polling");
  await eventually(() => seen.length === 2);
  end.abort();
  await following;
  assert.deepEqual(brief({ changes: seen }), [["0", "live", "new"], ["1", "by polling", "new"]]);
});

test("a server that hides an entry of the list is noticed, and the pin says so after a restart", async () => {
  const other = await paired("tablet");
  const [first, shortened] = [await open(other), await open(other)];
  await first.changes();
  const table = () => evil().from("levi_device_list");
  const last = old.scene.rows.at(-1);
  await rows(table().delete().eq("user_id", user.userId).eq("slot", last.slot));
  await assert.rejects(shortened.changes(), { code: "rolled-back" });
  await rows(table().insert({ user_id: user.userId, ...last }));
  assert.ok(await shortened.changes());
});

test("another list than the pinned one is a fork", async () => {
  const other = await paired("another tablet");
  const reader = await open(other);
  const last = old.scene.rows.at(-1);
  // Signed by a member, as by a thief who has the laptop.
  const [ghost, prev] = [await owner("ghost"), old.scene.list.chain.at(-2).hash];
  const entry = { ...old.scene.entry({ kind: "add", device: ghost.member }, old.scene.laptop, prev), slot: last.slot };
  const put = (row) => rows(evil().from("levi_device_list").update(row).eq("user_id", user.userId).eq("slot", last.slot));
  await put(await signEntry(entry, old.scene.laptop.keys, ghost.keys));
  await assert.rejects(reader.changes(), { code: "forked" });
  await put(last);
  assert.ok(await reader.changes());
});

test("a removed device reads what was written before, and nothing after", async () => {
  const removed = await paired("lost phone");
  let now = 0;
  const reader = await open({ ...removed, now: () => now });
  const session = await old.session();
  await old.write(session, 0, "before");
  const { cursor } = await all(reader);
  await old.remove(removed.device.id);
  await old.write(session, 1, "after");
  // Until it looks at the list again, its keyring does not have the new epoch.
  assert.deepEqual(brief(await all(reader, cursor)), [["1", "no-epoch", "new"]]);
  now += 5_000;
  await assert.rejects(reader.changes(cursor), { code: "removed" });
  now += 60_000;
  await assert.rejects(reader.changes(cursor), { code: "removed" });
  await assert.rejects((await open(removed)).changes(cursor), { code: "removed" });
  // The others read it.
  assert.ok((await all(await open())).changes.some(({ content }) => content === "after"));
});

test("a new epoch is found when a message names it, and waited for while its keyring is not there", async () => {
  let now = 0;
  const reader = await open({ now: () => now });
  const { cursor } = await all(reader);
  const session = await old.session();
  const leaving = await paired("another phone");
  await old.remove(leaving.device.id, { keyrings: false });
  await old.write(session, 0, "in the new epoch");
  now += 5_000;
  const locked = await all(reader, cursor);
  assert.deepEqual(brief(locked), [["0", "no-epoch", "new"]]);
  await old.keyrings();
  now += 5_000;
  assert.deepEqual(brief(await all(reader, locked.cursor)), [["0", "in the new epoch", "unlocked"]]);
});

test("an edit in a newer epoch makes the messages after it no older", async () => {
  const reader = await open();
  const { cursor } = await all(reader);
  const session = await old.session();
  for (const number of [0, 1, 2]) await old.write(session, number, `text ${number}`, 1);
  await old.write(session, 0, "edited", old.scene.list.epoch, "late");
  await old.write(session, 1, "edited in the older epoch", 1);
  const outcomes = Object.fromEntries(brief(await all(reader, cursor)).map(([number, outcome]) => [number, outcome]));
  assert.deepEqual(outcomes, { 0: "edited", 1: "edited in the older epoch", 2: "text 2" });
  await old.write(session, 3, "in the newer epoch");
  await old.write(session, 4, "behind it", 1);
  const found = [];
  for await (const { content, problem } of (await open()).messages(session.id)) found.push(content ?? problem);
  assert.deepEqual(found, ["edited", "edited in the older epoch", "text 2", "in the newer epoch", "stale-epoch"]);
});

test("who begins behind everything learns from the server where the epochs of a session began", async () => {
  const session = await old.session();
  await old.write(session, 0, "in the older epoch", 1);
  await old.write(session, 1, "in the newer epoch");
  const reader = await open();
  const cursor = await reader.latest();
  await old.write(session, 2, "behind it", 1);
  assert.deepEqual(brief(await all(reader, cursor)), [["2", "stale-epoch", "new"]]);
});

test("a cursor is confirmed, and goes back to a row that the server has where the last ones are not there any more", async () => {
  const reader = await open();
  const session = await old.session();
  for (const number of [0, 1, 2]) await old.write(session, number, `text ${number}`);
  const { cursor } = await all(reader);
  for (const known of [cursor, await reader.latest()]) {
    assert.equal(await reader.confirmed(known), known);
    assert.equal(JSON.parse(known).after, JSON.parse(cursor).after);
  }
  const messages = evil().from("agent_coding_session_messages");
  await rows(messages.delete().eq("session_id", session.id).gt("sequence_number", 0));
  const back = await reader.confirmed(cursor);
  assert.deepEqual(JSON.parse(back).landmarks, JSON.parse(cursor).landmarks.slice(0, -2));
  await old.write(session, 3, "text 3");
  assert.deepEqual(brief(await all(reader, back)), [["3", "text 3", "new"]]);
});

test("a code that nobody shows, and one that is mistyped, add nothing", async () => {
  await assert.rejects(pair({ ...user, code: "0000-0000-0000-0000-0001", name: "x" }), { code: "checksum" });
  const { code } = old.invite();
  const signal = AbortSignal.timeout(1500);
  await assert.rejects(pair({ ...user, code, name: "gave up", signal }), { name: "TimeoutError" });
  const [left] = await rows(user.supabase.from("devices").select("is_active").eq("name", "gave up"));
  assert.equal(left.is_active, false);
});

test("without a list the sender's key is the server's word", async () => {
  const session = await old.session();
  await old.write(session, 0, "version 1", 0);
  await old.write(session, 1, "version 2");
  const found = await all(await open({ pin: undefined }));
  const mine = found.changes.filter(({ sessionId }) => sessionId === session.id);
  assert.deepEqual(brief({ changes: mine }), [["0", "version 1", "new"], ["1", "not-on-list", "new"]]);
});
