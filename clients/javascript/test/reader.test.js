// What the reader delivers, and when again, over a server in memory.

import assert from "node:assert/strict";
import { beforeEach, test } from "node:test";
import { Reader } from "../src/reader.js";
import { Trust } from "../src/trust.js";
import { MemoryServer } from "../testing/memory-server.js";
import { Scene, owner, paper } from "../testing/scene.js";

let scene, server, browser, reader, now;

beforeEach(async () => {
  scene = new Scene();
  await scene.begin();
  browser = await owner("browser");
  await scene.add(browser);
  server = new MemoryServer(scene);
  now = 0;
  reader = await open();
});

async function open(epochStore) {
  const pin = { genesis: scene.list.genesis, rows: [...scene.rows] };
  const trust = await Trust.restore({ server, device: browser, pin, now: () => now });
  return new Reader(server, browser, trust, epochStore);
}

/** A session that the browser can read. */
async function shared() {
  const session = server.session();
  await server.share(session, browser);
  return session;
}

/** A removal of another device: the next epoch. */
async function nextEpoch() {
  const leaving = await owner("phone");
  await scene.add(leaving);
  await scene.remove(leaving);
  now += 60_000;
}

async function all(cursor, { limit, from = reader } = {}) {
  const changes = [];
  for (let more = true, rounds = 0; more; rounds++) {
    assert.ok(rounds < 100, "it goes on for ever");
    const page = await from.changes(cursor, limit);
    changes.push(...page.changes);
    ({ cursor, more } = page);
  }
  return { changes, cursor };
}

const brief = ({ changes }) =>
  changes.map(({ sequenceNumber, content, problem, arrival }) => `${sequenceNumber} ${content ?? `(${problem})`} ${arrival}`);

async function messages(session, { from = reader, after = undefined } = {}) {
  const found = [];
  for await (const { sequenceNumber, content, problem } of from.messages(session.id, after)) {
    found.push(`${sequenceNumber} ${content ?? `(${problem})`}`);
  }
  return found;
}

for (const epoch of [0, 1]) {
  test(`who begins behind everything is not shown what a removed device writes in ${epoch ? "its epoch" : "version 1"}`, async () => {
    const session = await shared();
    await server.write(session, 0, "epoch 1");
    await nextEpoch();
    await server.write(session, 1, "epoch 2");
    const { cursor } = { cursor: await reader.latest() };
    await server.write(session, 2, "from the removed device", { epoch });
    const found = await all(cursor);
    assert.deepEqual(brief(found), ["2 (stale-epoch) new"]);
    // Neither is who goes on reading one session.
    assert.deepEqual(await messages(session, { after: "1", from: await open() }), ["2 (stale-epoch)"]);
  });
}

test("messages that are rightly older are read, and the server is asked once for what is before them", async () => {
  const session = await shared();
  for (const number of [0, 1, 2]) await server.write(session, number, `text ${number}`);
  await nextEpoch();
  // Neither junk nor an edit of the newer epoch begins it.
  await server.write(session, 0, "edited", { order: "late" });
  await server.write(session, 1, "", { row: { content_nonce: `v2:2:${btoa("x".repeat(24))}`, content_encrypted: "AAAA" } });
  const cursor = await reader.latest();
  for (const number of [3, 4, 5]) await server.write(session, number, `text ${number}`, { epoch: 1 });
  const found = await all(cursor);
  assert.deepEqual(brief(found), ["3 text 3 new", "4 text 4 new", "5 text 5 new"]);
  assert.ok(server.questions("messagesOf") <= 2, server.asked.join());
});

test("a message in the current epoch is opened without another question", async () => {
  const session = await shared();
  const cursor = await reader.latest();
  await server.write(session, 0, "text");
  await all(cursor);
  assert.equal(server.questions("messagesOf"), 0);
});

test("what one read has learnt of the epochs holds for the others, and for the next start", async () => {
  const kept = new Map();
  const store = { load: async (id) => kept.get(id), keep: async (id, starts) => void kept.set(id, starts) };
  reader = await open(store);
  const session = await shared();
  await nextEpoch();
  await server.write(session, 0, "epoch 2");
  assert.deepEqual(await messages(session), ["0 epoch 2"]);
  // The removed device has a token, and deletes what would give it away.
  server.remove(session, () => true);
  const cursor = await reader.latest();
  await server.write(session, 1, "from the removed device", { epoch: 1 });
  assert.deepEqual(brief(await all(cursor)), ["1 (stale-epoch) new"]);
  assert.deepEqual(await messages(session, { from: await open(store) }), ["1 (stale-epoch)"]);
});

test("an epoch that a recovery has cut off makes no message stale", async () => {
  const session = await shared();
  await server.write(session, 0, "epoch 1");
  const before = scene.list.head;
  await nextEpoch();
  await server.write(session, 1, "a thief's epoch");
  let { changes, cursor } = await all();
  assert.deepEqual(brief({ changes }), ["0 epoch 1 new", "1 a thief's epoch new"]);
  await server.write(session, 2, "honest, in the older epoch", { epoch: 1 });
  ({ changes, cursor } = await all(cursor));
  assert.deepEqual(brief({ changes }), ["2 (stale-epoch) new"]);
  await scene.recover(before);
  now += 60_000;
  ({ changes, cursor } = await all(cursor));
  assert.deepEqual(brief({ changes }), ["2 honest, in the older epoch unlocked"]);
  assert.deepEqual(await messages(session), ["0 epoch 1", "1 (no-epoch)", "2 honest, in the older epoch"]);
});

test("a session of a device that was added after the list was looked at comes when the list is", async () => {
  const phone = await owner("phone");
  const { cursor } = await all();
  await scene.add(phone);
  const session = server.session();
  await server.share(session, browser, phone);
  await server.write(session, 0, "from the phone");
  const first = await all(cursor);
  assert.deepEqual(brief(first), ["0 (unknown-sender) new"]);
  now += 5_000;
  const second = await all(first.cursor);
  assert.deepEqual(brief(second), ["0 from the phone unlocked"]);
  assert.deepEqual(brief(await all(second.cursor)), []);
});

test("an unknown sender is looked for in the list at once", async () => {
  const phone = await owner("phone");
  const { cursor } = await all();
  await scene.add(phone);
  const session = server.session();
  await server.share(session, browser, phone);
  await server.write(session, 0, "from the phone");
  now += 5_000;
  assert.deepEqual(brief(await all(cursor)), ["0 from the phone new"]);
});

test("junk in place of an envelope gives nothing up", async () => {
  const session = server.session();
  await server.write(session, 0, "text");
  let page = await all();
  assert.deepEqual(brief(page), ["0 (no-envelope) new"]);
  server.junkEnvelope(session);
  page = await all(page.cursor);
  assert.deepEqual(brief(page), []);
  await server.share(session, browser);
  page = await all(page.cursor);
  assert.deepEqual(brief(page), ["0 text unlocked"]);
});

test("a session whose secret was replaced is read with both keys", async () => {
  const session = await shared();
  await server.write(session, 0, "old secret");
  let page = await all();
  const replaced = { ...session, secret: server.session().secret };
  await server.write(replaced, 1, "before its envelope");
  page = await all(page.cursor);
  assert.deepEqual(brief(page), ["1 (forged) new"]);
  await server.share(replaced, browser);
  await server.write(replaced, 2, "new secret");
  page = await all(page.cursor);
  assert.deepEqual(brief(page), ["1 before its envelope unlocked", "2 new secret new"]);
  await server.write(session, 0, "old secret, edited");
  assert.deepEqual(brief(await all(page.cursor)), ["0 old secret, edited edited"]);
});

test("what was read already is not delivered again with what could not be", async () => {
  const [session, other] = [await shared(), server.session()];
  const replaced = { ...session, secret: other.secret };
  for (let number = 0; number < 12; number++) await server.write(number % 3 ? session : replaced, number, `text ${number}`);
  let page = await all();
  assert.deepEqual(brief(page).filter((line) => line.includes("forged")).length, 4);
  await server.share(replaced, browser);
  page = await all(page.cursor, { limit: 2 });
  assert.deepEqual(brief(page), [0, 3, 6, 9].map((number) => `${number} text ${number} unlocked`));
  assert.deepEqual(brief(await all(page.cursor)), []);
});

test("of more runs than a cursor keeps, what was between comes again once and not for ever", async () => {
  const session = await shared();
  const junk = { content_nonce: btoa("x".repeat(24)), content_encrypted: btoa("x".repeat(40)) };
  for (let number = 0; number < 100; number++) await server.write(session, number, "text", number % 2 ? { row: junk } : {});
  let page = await all();
  for (let time = 0; time < 5; time++) {
    const next = await all(page.cursor);
    assert.deepEqual(brief(next), []);
    page = next;
  }
  const again = await all(page.cursor, { from: await open() });
  assert.deepEqual(brief(again), [], "nor after a restart");
});

test("a page of rows that cannot be read costs as many questions as it has sessions", async () => {
  const session = server.session();
  for (let number = 0; number < 50; number++) await server.write(session, number, "text");
  await all();
  assert.ok(server.asked.length <= 8, server.asked.join());
});

test("a server that cannot answer a long page is asked for a shorter one", async () => {
  const session = await shared();
  for (let number = 0; number < 40; number++) await server.write(session, number, "text");
  server.before = (question, limit) => {
    if (question === "changes" && limit > 10) throw Object.assign(new Error("statement timeout"), { code: "57014", status: 500 });
  };
  assert.equal((await all()).changes.length, 40);
});

test("a row with holes hides no other row", async () => {
  const session = await shared();
  await server.write(session, 0, "before");
  server.put({ session_id: session.id, number: "1", content_nonce: null, content_encrypted: null });
  server.put({ session_id: session.id, number: "2", content_nonce: `v2:1:${btoa("x".repeat(24))}`, content_encrypted: null });
  await server.write(session, 3, "after");
  const found = brief(await all());
  assert.deepEqual(found, ["0 before new", "1 (malformed) new", "2 (not-base64) new", "3 after new"]);
});

test("more sessions than are asked about at once all have their turn", async () => {
  const sessions = Array.from({ length: 450 }, () => server.session());
  for (const session of sessions) await server.write(session, 0, "text", { epoch: 0 });
  let page = await all();
  await server.share(sessions.at(-1), browser);
  const seen = [];
  for (let poll = 0; poll < 4; poll++) {
    page = await all(page.cursor);
    seen.push(...brief(page));
  }
  assert.deepEqual(seen, ["0 text unlocked"]);
});

test("a browser without a list says that a list is what it lacks", async () => {
  reader = new Reader(server, browser);
  const session = await shared();
  await server.write(session, 0, "version 2");
  assert.deepEqual(brief(await all()), ["0 (not-on-list) new"]);
  assert.equal(await reader.hasList(), true);
});
