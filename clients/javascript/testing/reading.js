// A browser on the device list that reads what a laptop writes, over a server in memory. For tests.

import assert from "node:assert/strict";
import { Reader } from "../src/reader.js";
import { Trust } from "../src/trust.js";
import { MemoryServer } from "./memory-server.js";
import { Scene, owner } from "./scene.js";

export class Reading {
  /** Milliseconds, for the device list. */
  now = 0;

  static async begin() {
    const reading = new Reading();
    reading.scene = new Scene();
    await reading.scene.begin();
    reading.browser = await owner("browser");
    await reading.scene.add(reading.browser);
    reading.server = new MemoryServer(reading.scene);
    reading.reader = await reading.open();
    return reading;
  }

  async open(epochStore) {
    const { scene, server, browser } = this;
    const pin = { genesis: scene.list.genesis, rows: [...scene.rows] };
    const trust = await Trust.restore({ server, device: browser, pin, now: () => this.now });
    return new Reader(server, browser, trust, epochStore);
  }

  /** A session that the browser can read. */
  async shared() {
    const session = this.server.session();
    await this.server.share(session, this.browser);
    return session;
  }

  /** A removal of another device: the next epoch. */
  async nextEpoch() {
    const leaving = await owner("phone");
    await this.scene.add(leaving);
    await this.scene.remove(leaving);
    this.now += 60_000;
  }

  async all(cursor, { limit = undefined, from = this.reader } = {}) {
    const changes = [];
    for (let more = true, rounds = 0; more; rounds++) {
      assert.ok(rounds < 100, "it goes on for ever");
      const page = await from.changes(cursor, limit);
      changes.push(...page.changes);
      ({ cursor, more } = page);
    }
    return { changes, cursor };
  }

  async messages(session, { from = this.reader, after = undefined } = {}) {
    const found = [];
    for await (const { sequenceNumber, content, problem } of from.messages(session.id, after)) {
      found.push(`${sequenceNumber} ${content ?? `(${problem})`}`);
    }
    return found;
  }
}

export const brief = ({ changes }) =>
  changes.map(({ sequenceNumber, content, problem, arrival }) => `${sequenceNumber} ${content ?? `(${problem})`} ${arrival}`);
