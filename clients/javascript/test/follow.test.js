// When a follower asks, and what it does when it cannot.

import assert from "node:assert/strict";
import { test } from "node:test";
import { createClient } from "@supabase/supabase-js";
import { Follower } from "../src/follow.js";
import { Pace } from "../src/pace.js";
import { Server } from "../src/server.js";
import { LeviError } from "../src/error.js";

const quiet = { pushed: false, waits: false };
const most = (waits) => waits.map(({ mostMs }) => mostMs);
const times = (count, wait) => Array.from({ length: count }, wait);

test("a minute after something came it asks more and more seldom, and at once again after something came", () => {
  const pace = new Pace();
  assert.deepEqual(most(times(60, () => pace.nothing(quiet))), times(60, () => 1000), "a minute of pauses");
  assert.deepEqual(most(times(7, () => pace.nothing(quiet))), [1000, 2000, 4000, 8000, 16000, 30000, 30000]);
  pace.came();
  assert.deepEqual(most(times(60, () => pace.nothing(quiet))), times(60, () => 1000));
});

test("while changes are pushed it asks once a minute, but not while a row waits for its key", () => {
  const pace = new Pace();
  assert.equal(times(8, () => pace.nothing({ pushed: true, waits: false })).at(-1).mostMs, 60_000);
  assert.equal(times(60, () => pace.nothing({ pushed: true, waits: true })).at(-1).mostMs, 30_000);
});

test("failures make it wait longer, also where it polls often, and a server that says how long is heeded", () => {
  const pace = new Pace(1_500);
  assert.deepEqual(most(times(6, () => pace.failed({}))), [2000, 4000, 8000, 16000, 30000, 30000]);
  assert.deepEqual(pace.failed({ retryAfterMs: 120_000 }), { leastMs: 120_000, mostMs: 120_000 });
  assert.equal(pace.failed({ retryAfterMs: 1e9 }).leastMs, 330_000);
  pace.nothing(quiet);
  assert.equal(pace.failed({}).mostMs, 2000);
});

/** A follower over a clock that the test moves. `poll` answers the nth question. */
function following(context, poll, options = {}) {
  context.mock.timers.enable({ apis: ["setTimeout", "Date"] });
  const [asked, confirmed] = [[], []];
  const end = new AbortController();
  const reader = {
    confirmed: async (cursor) => {
      confirmed.push(asked.length);
      return `${cursor}, confirmed`;
    },
    changes: async (cursor) => {
      asked.push(Date.now());
      return { changes: [], cursor, more: false, waits: false, ...(await poll(asked.length, cursor)) };
    },
  };
  const follower = new Follower(/** @type {any} */ (reader), { signal: end.signal, ...options });
  const pages = [];
  const ended = (async () => {
    for await (const page of follower) pages.push(page);
  })();
  const settle = async () => {
    for (let turn = 0; turn < 20; turn++) await Promise.resolve();
  };
  const passes = async (ms) => {
    await settle();
    for (let passed = 0; passed < ms; passed += 50) {
      context.mock.timers.tick(50);
      await settle();
    }
  };
  return { follower, asked, confirmed, pages, end, ended, passes, settle };
}

test("wake-ups do not make it ask more often than ten times a second", async (context) => {
  let woken;
  const { follower, asked, end, ended, passes } = following(context, () => void woken?.wake());
  await passes(1_000);
  woken = follower;
  woken.wake();
  await passes(2_000);
  assert.ok(asked.length >= 15 && asked.length <= 22, `${asked.length} polls`);
  end.abort();
  await ended;
});

test("pages that follow each other are apart, too", async (context) => {
  const change = { sequenceNumber: "0" };
  const { asked, end, ended, passes } = following(context, () => ({ changes: [change], more: true }));
  await passes(1_000);
  assert.ok(asked.length >= 8 && asked.length <= 12, `${asked.length} polls`);
  end.abort();
  await ended;
});

test("a wake-up does not cut short what the server asked for", async (context) => {
  const busy = () => {
    throw Object.assign(new Error("too many requests"), { status: 429, retryAfterMs: 60_000 });
  };
  const { follower, asked, end, ended, passes } = following(context, busy);
  await passes(1_000);
  follower.wake();
  await passes(50_000);
  assert.equal(asked.length, 1);
  await passes(15_000);
  assert.equal(asked.length, 2);
  end.abort();
  await ended;
});

test("after it was ended it delivers nothing and reports nothing, whatever was under way", async (context) => {
  const [said, answers] = [[], []];
  const options = { onPoll: () => said.push("polled"), onError: () => said.push("failed") };
  const poll = () => new Promise((resolve) => answers.push(resolve));
  const { pages, end, ended, settle } = following(context, poll, options);
  await settle();
  end.abort();
  answers[0]({ changes: [{ sequenceNumber: "0" }], more: true });
  await ended;
  assert.deepEqual([pages, said], [[], []]);
});

test("it makes sure of its cursor at the start, after a failure and after a long pause, and at no other time", async (context) => {
  let fails = false;
  const seen = [];
  const poll = (_, cursor) => {
    seen.push(cursor);
    if (fails) throw new Error("no network");
  };
  const { asked, confirmed, end, ended, passes } = following(context, poll, { cursor: "stored" });
  await passes(300_000);
  assert.deepEqual(confirmed, [0], "before the first poll only");
  assert.equal(seen.at(-1), "stored, confirmed", "and it goes on from what that gave");
  fails = true;
  await passes(40_000);
  const failed = asked.length;
  fails = false;
  await passes(40_000);
  assert.ok(confirmed.at(-1) >= failed - 1, "after the failure");
  const times = confirmed.length;
  await passes(120_000);
  assert.equal(confirmed.length, times, "once");
  // The computer sleeps.
  context.mock.timers.setTime(Date.now() + 3_600_000);
  await passes(40_000);
  assert.equal(confirmed.length, times + 1);
  end.abort();
  await ended;
});

test("while changes are pushed, a poll at rest makes no more sure of its cursor than once", async (context) => {
  const notifier = { connected: true, start() {}, stop() {} };
  const { confirmed, end, ended, passes } = following(context, () => {}, { cursor: "stored", notifier });
  await passes(600_000);
  assert.deepEqual(confirmed, [0]);
  end.abort();
  await ended;
});

test("without a cursor there is nothing to make sure of", async (context) => {
  const { confirmed, asked, end, ended, passes } = following(context, () => {
    throw new Error("no network");
  });
  await passes(60_000);
  assert.ok(asked.length > 2);
  assert.deepEqual(confirmed, []);
  end.abort();
  await ended;
});

for (const code of ["bad-cursor", "no-change-feed"]) {
  test(`${code} ends it`, async (context) => {
    const { ended } = following(context, () => {
      throw new LeviError(code, "asking again does not help");
    });
    await assert.rejects(ended, { code });
  });
}

/** A server that answers every request alike, and how often it was asked. */
function answering(status, body, headers = {}) {
  const asked = { times: 0 };
  const answer = async () => {
    asked.times++;
    return new Response(body, { status, headers });
  };
  const options = { auth: { persistSession: false }, global: { fetch: answer }, realtime: { transport: class {} } };
  return { server: new Server(createClient("http://127.0.0.1:9", "key", /** @type {any} */ (options)), "user"), asked };
}

test("what the server says of the wait is found in its answer, and supabase-js asks once", async () => {
  const { server, asked } = answering(503, JSON.stringify({ message: "busy" }), { "retry-after": "120" });
  const failure = await server.changes("0", 10).then(assert.fail, (error) => error);
  assert.deepEqual([failure.status, failure.retryAfterMs, asked.times], [503, 120_000, 1]);
});

for (const [question, ask] of Object.entries({
  changes: (server) => server.changes("0", 10),
  lastNonces: (server) => server.lastNonces(10),
  noncesAt: (server) => server.noncesAt(["1"], ["nonce"]),
})) {
  test(`a project without the columns of the change feed is told from one that does not answer, by ${question}`, async () => {
    const missing = { code: "42703", message: "column agent_coding_session_messages.change_id does not exist" };
    const { server } = answering(400, JSON.stringify(missing));
    await assert.rejects(ask(server), { code: "no-change-feed", message: /20260102000000_change_feed\.sql/ });
  });
}

for (const body of ["", "[]"]) {
  test(`the status 404 with ${body || "nothing"} is no answer, though supabase-js takes it for one`, async () => {
    await assert.rejects(answering(404, body).server.changes("0", 10), { status: 404 });
    await assert.rejects(answering(404, body).server.sessions(), { status: 404 });
  });
}

test("an answer that breaks off has no status, so that the next page is shorter", async () => {
  const cut = new ReadableStream({ pull: (controller) => controller.error(new TypeError("terminated")) });
  await assert.rejects(answering(200, cut).server.changes("0", 10), { status: 0 });
});
