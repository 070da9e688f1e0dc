// The notifier over a client that the test plays.

import assert from "node:assert/strict";
import { beforeEach, test } from "node:test";
import { Realtime } from "../src/realtime.js";

let channels, removed, wakes, notifier;

/** Runs with a clock that the test moves. */
function timed(name, check) {
  test(name, (context) => {
    context.mock.timers.enable({ apis: ["setTimeout", "Date"] });
    return check((ms) => context.mock.timers.tick(ms));
  });
}

beforeEach(() => {
  [channels, removed, wakes] = [[], [], 0];
  const supabase = { channel: (topic) => newChannel(topic), removeChannel: async (channel) => void removed.push(channel) };
  notifier = new Realtime(/** @type {any} */ (supabase), "ada");
});

function newChannel(topic) {
  const channel = { topic, filters: [], changed: [], system: undefined, status: undefined };
  const on = (kind, options, callback) => {
    if (kind === "system") channel.system = callback;
    else channel.changed.push(callback);
    if (options.filter) channel.filters.push([options.event, options.filter]);
    return channel;
  };
  channels.push(channel);
  return Object.assign(channel, { on, subscribe: (callback) => (channel.status = callback) });
}

const confirm = (channel) => {
  channel.status("SUBSCRIBED");
  channel.system({ extension: "postgres_changes", status: "ok" });
};

timed("it is connected once the subscription is confirmed, and wakes for each change", () => {
  notifier.start(() => wakes++);
  const [channel] = channels;
  assert.deepEqual(channel.filters, [["INSERT", "user_id=eq.ada"], ["UPDATE", "user_id=eq.ada"]]);
  channel.status("SUBSCRIBED");
  assert.equal(notifier.connected, false);
  channel.system({ extension: "postgres_changes", status: "ok" });
  assert.deepEqual([notifier.connected, wakes], [true, 1]);
  channel.changed[1]();
  assert.equal(wakes, 2);
});

timed("a channel that fails is left and joined anew, later each time", (passes) => {
  notifier.start(() => wakes++);
  for (const least of [1_000, 2_000, 4_000]) {
    const before = channels.length;
    channels.at(-1).status("CHANNEL_ERROR");
    assert.equal(removed.at(-1), channels.at(-1));
    passes(least - 1);
    assert.equal(channels.length, before);
    passes(least / 2 + 1);
    assert.equal(channels.length, before + 1);
  }
  assert.equal(new Set(channels.map(({ topic }) => topic)).size, 4);
});

timed("a subscription that is not confirmed is none", (passes) => {
  notifier.start(() => wakes++);
  channels[0].status("SUBSCRIBED");
  passes(15_000);
  assert.deepEqual([removed.length, notifier.connected], [1, false]);
});

timed("a dropped connection wakes the follower, and begins the delays anew after a minute that it held", (passes) => {
  notifier.start(() => wakes++);
  for (let time = 0; time < 3; time++) {
    confirm(channels.at(-1));
    passes(60_000);
    channels.at(-1).status("CLOSED");
    assert.equal(notifier.connected, false);
    passes(1_500);
    assert.equal(channels.length, time + 2);
  }
  assert.equal(wakes, 6);
});

timed("what a channel says after it was left counts no more, and nothing wakes what was stopped", (passes) => {
  notifier.start(() => wakes++);
  const [first] = channels;
  first.status("TIMED_OUT");
  confirm(first);
  first.changed[0]();
  assert.deepEqual([notifier.connected, wakes], [false, 0]);
  notifier.stop();
  passes(600_000);
  assert.deepEqual([channels.length, wakes], [1, 0]);
});
