// A project that was restored from a backup numbers its changes from lower ones on. Nothing that is written then is skipped.

import assert from "node:assert/strict";
import { beforeEach, test } from "node:test";
import { Follower } from "../src/follow.js";
import { withLandmark } from "../src/landmarks.js";
import { Reading, brief } from "../testing/reading.js";

let reading, server, reader, session;

beforeEach(async () => {
  reading = await Reading.begin();
  ({ server, reader } = reading);
  session = await reading.shared();
});

async function write(to, numbers, text) {
  for (const number of numbers) await server.write(to, number, text, { epoch: 0 });
}

const upTo = (end) => Array.from({ length: end }, (_, number) => number);
const after = async (cursor) => reading.all(await reader.confirmed(cursor));

for (const [where, count] of /** @type {const} */ ([["before the cursor", 2], ["at the cursor", 10], ["past the cursor", 15]])) {
  test(`what is written into a restored project comes, with its numbers ${where} again`, async () => {
    await write(session, upTo(20), "old");
    const { cursor } = await reading.all();
    server.restore(10);
    const other = await reading.shared();
    await write(other, upTo(count), "after the restore");
    const { changes, cursor: next } = await after(cursor);
    assert.deepEqual(brief({ changes }).slice(-count), upTo(count).map((number) => `${number} after the restore new`));
    assert.ok(changes.length <= count + 3, "of what both have only a little comes again");
    assert.deepEqual(brief(await after(next)), [], "and once");
  });
}

test("another text for a number that was delivered before the restore is an edit", async () => {
  await write(session, upTo(6), "old");
  const { cursor } = await reading.all();
  server.restore(3);
  await write(session, [3, 4, 5, 6, 7], "another");
  const again = [3, 4, 5].map((number) => `${number} another edited`);
  assert.deepEqual(brief(await after(cursor)), [...again, "6 another new", "7 another new"]);
});

test("a cursor that has nothing in common with the server any more begins at the oldest message", async () => {
  await write(session, upTo(3), "old");
  const { cursor } = await reading.all();
  server.restore(0);
  await write(session, [7, 8], "new");
  assert.deepEqual(brief(await after(cursor)), ["7 new new", "8 new new"]);
});

test("nor is anything skipped by a cursor of the first version, where the feed ends before it", async () => {
  await write(session, upTo(6), "old");
  const { cursor } = await reading.all();
  const first = JSON.stringify({ ...JSON.parse(cursor), landmarks: undefined });
  assert.deepEqual(brief(await after(first)), []);
  server.restore(2);
  await write(session, [6], "new");
  assert.deepEqual(brief(await after(first)), ["0 old edited", "1 old edited", "6 new new"]);
});

test("who begins behind everything is given what is written into a restored project", async () => {
  await write(session, upTo(12), "old");
  const cursor = await reader.latest();
  server.restore(9);
  await write(session, [12, 13, 14], "new");
  assert.deepEqual(brief(await after(cursor)), ["12 new new", "13 new new", "14 new new"]);
  server.restore(1);
  await write(session, upTo(20).slice(15), "newer");
  assert.deepEqual(brief(await after(cursor)).at(-1), "19 newer new");
  assert.equal(JSON.parse(await reader.confirmed(cursor)).since, undefined, "it then reads everything");
});

test("edits and deletions of the last rows make nothing come again that has not changed", async () => {
  const other = await reading.shared();
  await write(session, upTo(30), "text");
  await write(other, upTo(3), "text");
  const { cursor } = await reading.all();
  server.remove(other, () => true);
  await write(session, [29, 28], "edited");
  assert.deepEqual(brief(await after(cursor)), ["29 edited edited", "28 edited edited"]);
});

test("of what waits for a key that is kept which both histories have", async () => {
  const waits = server.session();
  await write(waits, [0], "before");
  await write(session, [0], "text");
  await write(waits, [1], "lost by the restore");
  const { cursor } = await reading.all();
  server.restore(2);
  await write(waits, [2], "after");
  const page = await after(cursor);
  assert.deepEqual(brief(page), ["2 (no-envelope) new"]);
  await server.share(waits, reading.browser);
  assert.deepEqual(brief(await reading.all(page.cursor)), ["0 before unlocked", "2 after unlocked"]);
});

test("whatever is written, edited, read and restored, the reader has all that the server has", async () => {
  let seed = 1;
  const random = (below) => (seed = (seed * 48_271) % 0x7fffffff) % below;
  const sessions = [session, await reading.shared(), await reading.shared()];
  const next = new Map(sessions.map(({ id }) => [id, 0]));
  const delivered = new Map();
  let cursor;
  for (let step = 0; step < 400; step++) {
    const to = sessions[random(3)];
    const number = next.get(to.id);
    const isEdit = number > 0 && random(4) === 0;
    await server.write(to, isEdit ? random(number) : number, `text ${step}`, { epoch: 0 });
    if (!isEdit) next.set(to.id, number + 1);
    if (random(12) === 0) server.restore(Math.max(server.change - random(60), 0));
    if (random(6) > 0) continue;
    const page = await reading.all(cursor && (await reader.confirmed(cursor)), { limit: 1 + random(5) });
    for (const { sessionId, sequenceNumber, content } of page.changes) delivered.set(`${sessionId} ${sequenceNumber}`, content);
    cursor = page.cursor;
    const fresh = await reading.all(undefined, { from: await reading.open() });
    for (const { sessionId, sequenceNumber, content } of fresh.changes) {
      assert.equal(delivered.get(`${sessionId} ${sequenceNumber}`), content, `number ${sequenceNumber} at step ${step}`);
    }
  }
});

test("however far back the backup is, not much more comes again than was lost", () => {
  const end = 5_000;
  let landmarks = [];
  for (let change = 1; change <= end; change++) {
    landmarks = withLandmark(landmarks, { change: String(change), content_nonce: "A".repeat(32) });
  }
  assert.ok(JSON.stringify(landmarks).length < 2_000);
  const known = landmarks.map(([change]) => Number(change));
  for (let backup = 1; backup <= end; backup++) {
    const [lost, again] = [end - backup, backup - known.findLast((change) => change <= backup)];
    assert.ok(again <= 2 * lost, `${again} again after ${lost} lost`);
  }
});

test("a follower that begins with a stored cursor finds out", { timeout: 10_000 }, async () => {
  await write(session, upTo(9), "old");
  const { cursor } = await reading.all();
  server.restore(4);
  await write(session, [9, 10], "new");
  for await (const page of new Follower(reader, { cursor })) {
    assert.deepEqual(brief(page), ["9 new new", "10 new new"]);
    break;
  }
});
