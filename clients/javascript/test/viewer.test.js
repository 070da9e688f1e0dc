// What the viewer says on its page when it cannot read, over a reader that fails.

import assert from "node:assert/strict";
import { register } from "node:module";
import { test } from "node:test";
import { LeviError, TrustError } from "../src/index.js";

// As the page's import map.
const index = new URL("../src/index.js", import.meta.url).href;
const resolve = `export const resolve = (name, context, next) => next(name === "levi-client" ? "${index}" : name, context)`;
register(`data:text/javascript,${encodeURIComponent(resolve)}`);
const { Watch } = await import(new URL("../../viewer/watch.js", import.meta.url).href);

const answered = (status, code) => Object.assign(new Error("refused"), { status, code });

/** What the page says when the server fails in this way, and how often it asks in a minute. */
async function said(context, error) {
  context.mock.timers.enable({ apis: ["setTimeout"] });
  const end = new AbortController();
  const page = { state: "", alarm: "" };
  let asked = 0;
  const reader = {
    realtime: () => ({ connected: false, start() {}, stop() {} }),
    latest: async () => {
      asked++;
      throw error;
    },
  };
  const view = { state: (text) => (page.state = text), alarm: (text) => (page.alarm = text) };
  void new Watch(reader, view, end.signal).run();
  for (let passed = 0; passed < 60_000; passed += 500) {
    for (let turn = 0; turn < 10; turn++) await Promise.resolve();
    context.mock.timers.tick(500);
  }
  return { ...page, asked };
}

test("it is offline only where no answer came, and then asks soon again", async (context) => {
  const { state, alarm, asked } = await said(context, answered(0, ""));
  assert.deepEqual([state, alarm], ["Offline. What is shown may be old.", ""]);
  assert.ok(asked > 30, `${asked} times`);
});

for (const [name, error, state, alarm] of [
  ["a project that lacks the change feed", new LeviError("no-change-feed", "apply it"), "Stopped", /20260102000000_change_feed\.sql/],
  ["an address without Levi's tables", answered(404, "PGRST205"), "Stopped", /migrations/],
  ["a paused project", answered(540, ""), "Stopped", /paused/],
  ["a sign-in that has ended", answered(401, "PGRST301"), "Stopped", /sign-in has ended/],
  ["a device list that is not the pinned one", new TrustError("forked", "another"), "Stopped", /device list/],
  ["a project that refuses", answered(403, "42501"), "The server answers with 403 (42501). What is shown may be old.", /^$/],
  ["a busy server", answered(503, undefined), "The server answers with 503. What is shown may be old.", /^$/],
  ["a server that answers another question", new LeviError("bad-page", "no page"), "The server's answer cannot be used (bad-page). What is shown may be old.", /^$/],
]) {
  test(`${name} is named, and asked more and more seldom`, async (context) => {
    const found = await said(context, error);
    assert.equal(found.state, state);
    assert.match(found.alarm, alarm);
    assert.ok(found.asked <= 6, `${found.asked} times`);
  });
}
