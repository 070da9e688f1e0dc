// What the reader delivers, and when again, over a server in memory.

import assert from "node:assert/strict";
import { beforeEach, test } from "node:test";
import { forgetOldest, touched } from "../src/cursor.js";
import { Reader } from "../src/reader.js";
import { Reading, brief } from "../testing/reading.js";
import { owner } from "../testing/scene.js";

let reading, scene, server, browser, reader;

beforeEach(async () => {
  reading = await Reading.begin();
  ({ scene, server, browser, reader } = reading);
});

for (const epoch of [0, 1]) {
  test(`who begins behind everything is not shown what a removed device writes in ${epoch ? "its epoch" : "version 1"}`, async () => {
    const session = await reading.shared();
    await server.write(session, 0, "epoch 1");
    await reading.nextEpoch();
    await server.write(session, 1, "epoch 2");
    const { cursor } = { cursor: await reader.latest() };
    await server.write(session, 2, "from the removed device", { epoch });
    const found = await reading.all(cursor);
    assert.deepEqual(brief(found), ["2 (stale-epoch) new"]);
    // Neither is who goes on reading one session.
    assert.deepEqual(await reading.messages(session, { after: "1", from: await reading.open() }), ["2 (stale-epoch)"]);
  });
}

test("messages that are rightly older are read, and the server is asked once for what is before them", async () => {
  const session = await reading.shared();
  for (const number of [0, 1, 2]) await server.write(session, number, `text ${number}`);
  await reading.nextEpoch();
  // Neither junk nor an edit of the newer epoch begins it.
  await server.write(session, 0, "edited", { order: "late" });
  await server.write(session, 1, "", { row: { content_nonce: `v2:2:${btoa("x".repeat(24))}`, content_encrypted: "AAAA" } });
  const cursor = await reader.latest();
  for (const number of [3, 4, 5]) await server.write(session, number, `text ${number}`, { epoch: 1 });
  const found = await reading.all(cursor);
  assert.deepEqual(brief(found), ["3 text 3 new", "4 text 4 new", "5 text 5 new"]);
  assert.ok(server.questions("messagesOf") <= 2, server.asked.join());
});

test("a message in the current epoch is opened without another question", async () => {
  const session = await reading.shared();
  const cursor = await reader.latest();
  await server.write(session, 0, "text");
  await reading.all(cursor);
  assert.equal(server.questions("messagesOf"), 0);
});

test("what one read has learnt of the epochs holds for the others, and for the next start", async () => {
  const kept = new Map();
  const store = { load: async (id) => kept.get(id), keep: async (id, starts) => void kept.set(id, starts) };
  reader = reading.reader = await reading.open(store);
  const session = await reading.shared();
  await reading.nextEpoch();
  await server.write(session, 0, "epoch 2");
  assert.deepEqual(await reading.messages(session), ["0 epoch 2"]);
  // The removed device has a token, and deletes what would give it away.
  server.remove(session, () => true);
  const cursor = await reader.latest();
  await server.write(session, 1, "from the removed device", { epoch: 1 });
  assert.deepEqual(brief(await reading.all(cursor)), ["1 (stale-epoch) new"]);
  assert.deepEqual(await reading.messages(session, { from: await reading.open(store) }), ["1 (stale-epoch)"]);
});

test("an epoch that a recovery has cut off makes no message stale", async () => {
  const session = await reading.shared();
  await server.write(session, 0, "epoch 1");
  const before = scene.list.head;
  await reading.nextEpoch();
  await server.write(session, 1, "a thief's epoch");
  let { changes, cursor } = await reading.all();
  assert.deepEqual(brief({ changes }), ["0 epoch 1 new", "1 a thief's epoch new"]);
  await server.write(session, 2, "honest, in the older epoch", { epoch: 1 });
  ({ changes, cursor } = await reading.all(cursor));
  assert.deepEqual(brief({ changes }), ["2 (stale-epoch) new"]);
  await scene.recover(before);
  reading.now += 60_000;
  ({ changes, cursor } = await reading.all(cursor));
  assert.deepEqual(brief({ changes }), ["2 honest, in the older epoch unlocked"]);
  assert.deepEqual(await reading.messages(session), ["0 epoch 1", "1 (no-epoch)", "2 honest, in the older epoch"]);
});

test("a session of a device that was added after the list was looked at comes when the list is", async () => {
  const phone = await owner("phone");
  const { cursor } = await reading.all();
  await scene.add(phone);
  const session = server.session();
  await server.share(session, browser, phone);
  await server.write(session, 0, "from the phone");
  const first = await reading.all(cursor);
  assert.deepEqual(brief(first), ["0 (unknown-sender) new"]);
  reading.now += 5_000;
  const second = await reading.all(first.cursor);
  assert.deepEqual(brief(second), ["0 from the phone unlocked"]);
  assert.deepEqual(brief(await reading.all(second.cursor)), []);
});

test("an unknown sender is looked for in the list at once", async () => {
  const phone = await owner("phone");
  const { cursor } = await reading.all();
  await scene.add(phone);
  const session = server.session();
  await server.share(session, browser, phone);
  await server.write(session, 0, "from the phone");
  reading.now += 5_000;
  assert.deepEqual(brief(await reading.all(cursor)), ["0 from the phone new"]);
});

test("junk in place of an envelope gives nothing up", async () => {
  const session = server.session();
  await server.write(session, 0, "text");
  let page = await reading.all();
  assert.deepEqual(brief(page), ["0 (no-envelope) new"]);
  server.junkEnvelope(session);
  page = await reading.all(page.cursor);
  assert.deepEqual(brief(page), []);
  await server.share(session, browser);
  page = await reading.all(page.cursor);
  assert.deepEqual(brief(page), ["0 text unlocked"]);
});

test("a session whose secret was replaced is read with both keys", async () => {
  const session = await reading.shared();
  await server.write(session, 0, "old secret");
  let page = await reading.all();
  const replaced = { ...session, secret: server.session().secret };
  await server.write(replaced, 1, "before its envelope");
  page = await reading.all(page.cursor);
  assert.deepEqual(brief(page), ["1 (forged) new"]);
  await server.share(replaced, browser);
  await server.write(replaced, 2, "new secret");
  page = await reading.all(page.cursor);
  assert.deepEqual(brief(page), ["1 before its envelope unlocked", "2 new secret new"]);
  await server.write(session, 0, "old secret, edited");
  assert.deepEqual(brief(await reading.all(page.cursor)), ["0 old secret, edited edited"]);
});

test("what was read already is not delivered again with what could not be", async () => {
  const [session, other] = [await reading.shared(), server.session()];
  const replaced = { ...session, secret: other.secret };
  for (let number = 0; number < 12; number++) await server.write(number % 3 ? session : replaced, number, `text ${number}`);
  let page = await reading.all();
  assert.deepEqual(brief(page).filter((line) => line.includes("forged")).length, 4);
  await server.share(replaced, browser);
  page = await reading.all(page.cursor, { limit: 2 });
  assert.deepEqual(brief(page), [0, 3, 6, 9].map((number) => `${number} text ${number} unlocked`));
  assert.deepEqual(brief(await reading.all(page.cursor)), []);
});

test("of more runs than a cursor keeps, what was between comes again once and not for ever", async () => {
  const session = await reading.shared();
  const junk = { content_nonce: btoa("x".repeat(24)), content_encrypted: btoa("x".repeat(40)) };
  for (let number = 0; number < 100; number++) await server.write(session, number, "text", number % 2 ? { row: junk } : {});
  let page = await reading.all();
  for (let time = 0; time < 5; time++) {
    const next = await reading.all(page.cursor);
    assert.deepEqual(brief(next), []);
    page = next;
  }
  const again = await reading.all(page.cursor, { from: await reading.open() });
  assert.deepEqual(brief(again), [], "nor after a restart");
});

test("a page of rows that cannot be read costs as many questions as it has sessions", async () => {
  const session = server.session();
  for (let number = 0; number < 50; number++) await server.write(session, number, "text");
  await reading.all();
  assert.ok(server.asked.length <= 8, server.asked.join());
});

test("a server that cannot answer a long page is asked for a shorter one", async () => {
  const session = await reading.shared();
  for (let number = 0; number < 40; number++) await server.write(session, number, "text");
  server.before = (question, _rows, limit) => {
    if (question === "changes" && limit > 10) throw Object.assign(new Error("statement timeout"), { code: "57014", status: 500 });
  };
  assert.equal((await reading.all()).changes.length, 40);
});

test("a row with holes hides no other row", async () => {
  const session = await reading.shared();
  await server.write(session, 0, "before");
  server.put({ session_id: session.id, number: "1", content_nonce: null, content_encrypted: null });
  server.put({ session_id: session.id, number: "2", content_nonce: `v2:1:${btoa("x".repeat(24))}`, content_encrypted: null });
  await server.write(session, 3, "after");
  const found = brief(await reading.all());
  assert.deepEqual(found, ["0 before new", "1 (malformed) new", "2 (not-base64) new", "3 after new"]);
});

test("more sessions than are asked about at once all have their turn", async () => {
  const sessions = Array.from({ length: 450 }, () => server.session());
  for (const session of sessions) await server.write(session, 0, "text", { epoch: 0 });
  let page = await reading.all();
  await server.share(sessions.at(-1), browser);
  const seen = [];
  for (let poll = 0; poll < 4; poll++) {
    page = await reading.all(page.cursor);
    seen.push(...brief(page));
  }
  assert.deepEqual(seen, ["0 text unlocked"]);
});

test("a cursor keeps the sessions that changed last, and those that wait for a key longest", async () => {
  const cursor = { user: "", after: "0", sessions: {} };
  for (const id of ["waits", "a", "b", "c"]) touched(cursor, id);
  cursor.sessions.waits.locked = [["1", "1"]];
  touched(cursor, "a");
  forgetOldest(cursor, 3);
  assert.deepEqual(Object.keys(cursor.sessions), ["waits", "c", "a"]);
  assert.equal(cursor.forgot, true);
});

test("an edit in a session that the cursor has forgotten is an edit", async () => {
  const session = await reading.shared();
  for (const number of [0, 1]) await server.write(session, number, "text");
  const { cursor } = await reading.all();
  const forgotten = JSON.stringify({ ...JSON.parse(cursor), sessions: {}, forgot: true });
  await server.write(session, 0, "another text");
  await server.write(session, 2, "text");
  assert.deepEqual(brief(await reading.all(forgotten)), ["0 another text edited", "2 text new"]);
  assert.equal(server.questions("highestBy"), 1);
});

test("a browser without a list says that a list is what it lacks", async () => {
  reader = reading.reader = new Reader(server, browser);
  const session = await reading.shared();
  await server.write(session, 0, "version 2");
  assert.deepEqual(brief(await reading.all()), ["0 (not-on-list) new"]);
  assert.equal(await reader.hasList(), true);
});
