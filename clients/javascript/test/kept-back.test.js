// What cannot be read now keeps nothing else back.

import assert from "node:assert/strict";
import { beforeEach, test } from "node:test";
import { Reading, brief } from "../testing/reading.js";

let reading, server, reader;

beforeEach(async () => {
  reading = await Reading.begin();
  ({ server, reader } = reading);
});

const failure = (details) => Object.assign(new Error("no answer"), details);
/** A session whose first row waited for its key, which has come, and whose row cannot be fetched any more. */
async function stuck(error) {
  const session = server.session();
  await server.write(session, 0, "waits for its key");
  const { cursor } = await reading.all();
  await server.share(session, reading.browser);
  server.before = (question, rows) => {
    if (question === "changes" && rows.some((row) => row.session_id === session.id)) throw failure(error);
  };
  return cursor;
}

test("an earlier row that cannot be fetched again keeps no new message back, and the error is given after those", async () => {
  let cursor = await stuck({ status: 504 });
  const other = await reading.shared();
  for (const number of [0, 1, 2]) {
    await server.write(other, number, "new");
    const page = await reader.changes(cursor);
    assert.deepEqual(brief(page), [`${number} new new`]);
    cursor = page.cursor;
  }
  await assert.rejects(reader.changes(cursor), { status: 504 });
  server.before = () => {};
  assert.deepEqual(brief(await reading.all(cursor)), ["0 waits for its key unlocked"]);
});

test("after a wait that the server asked for, what is new comes first", async () => {
  const cursor = await stuck({ status: 503, retryAfterMs: 5_000 });
  await server.write(await reading.shared(), 0, "new");
  server.asked = [];
  await assert.rejects(reader.changes(cursor), { retryAfterMs: 5_000 });
  assert.equal(server.questions("changes"), 1, "nothing more is asked before that");
  assert.deepEqual(brief(await reader.changes(cursor)), ["0 new new"]);
});

test("what another session could not read comes, though that of the first cannot be fetched", async () => {
  const cursor = await stuck({ status: 504 });
  const other = server.session();
  await server.write(other, 0, "waits, too");
  const page = await reader.changes(cursor);
  await server.share(other, reading.browser);
  const seen = [];
  for (let poll = 0; poll < 4; poll++) seen.push(...brief(await reader.changes(page.cursor).catch(() => ({ changes: [] }))));
  assert.ok(seen.includes("0 waits, too unlocked"), seen.join());
});

test("what a failed attempt took note of does not count as delivered", async () => {
  const session = server.session();
  for (const number of [0, 1]) await server.write(session, number, "waits");
  const { cursor } = await reading.all();
  await server.share(session, reading.browser);
  server.before = (question, rows, limit) => {
    if (question === "changes" && rows.some(({ session_id, number }) => session_id === session.id && (number === "1" || limit > 1))) {
      throw failure({ status: 504 });
    }
  };
  await server.write(await reading.shared(), 0, "new");
  const page = await reader.changes(cursor);
  assert.deepEqual(brief(page), ["0 new new"]);
  server.before = () => {};
  assert.deepEqual(brief(await reading.all(page.cursor)), ["0 waits unlocked", "1 waits unlocked"]);
});

/** The rows of a number are too long for any answer. */
function isTooLong(number) {
  server.before = (_question, rows, limit) => {
    if (limit !== undefined && rows.some((row) => row.number === number)) throw failure({ status: 413 });
  };
}

test("of a row that no answer can hold the place comes, and what follows it", async () => {
  const session = await reading.shared();
  for (const number of [0, 1, 2]) await server.write(session, number, "text");
  isTooLong("1");
  assert.deepEqual(brief(await reading.all()), ["0 text new", "1 (not-fetched) new", "2 text new"]);
  assert.deepEqual(await reading.messages(session), ["0 text", "1 (not-fetched)", "2 text"]);
});

test("nor does such a row keep back what waited for the same key", async () => {
  const session = server.session();
  for (const number of [0, 1, 2]) await server.write(session, number, "text");
  const { cursor } = await reading.all();
  isTooLong("1");
  await server.share(session, reading.browser);
  assert.deepEqual(brief(await reading.all(cursor)), ["0 text unlocked", "2 text unlocked"]);
});

test("where such a row may begin an epoch, those that may lie before it say so, and no others are kept back", async () => {
  const [session, other] = [await reading.shared(), await reading.shared()];
  await reading.nextEpoch();
  await server.write(session, 0, "in the newer epoch");
  const cursor = await reader.latest();
  isTooLong("0");
  await server.write(session, 1, "in the older epoch", { epoch: 1 });
  await server.write(other, 2, "text");
  assert.deepEqual(brief(await reading.all(cursor)), ["1 (not-fetched) new", "2 text new"]);
});
