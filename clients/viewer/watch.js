// The sessions on the page, kept up to date as they are written.

import { Follower } from "levi-client";
import * as view from "./view.js";

const { $ } = view;
/** While the page is looked at and Realtime is not connected. Elsewhere the follower's own pace is enough. */
const LONGEST_MS = 1_500;

/** Problems of the device list, for people. Nothing is shown that was not read under the pinned list. */
const LIST_PROBLEMS = {
  forked: "The server shows a device list that differs from this browser's. Compare `levi verify` on your devices.",
  "rolled-back": "The server hides entries of your device list that this browser has seen.",
  "unknown-kind": "Your device list goes on with an entry that this version does not know. Update the viewer.",
  removed: "This browser was removed from your devices. It reads nothing that is written from now on.",
  "no-keyring": "The server has no keyring for this browser. Pair it again.",
};

export class Watch {
  #reader;
  #signal;
  #known = new Set();
  #chosen;
  /** Numbers in the chosen session that came live, and so are newer than what is still being read from the start. */
  #live = new Set();

  constructor(reader, signal) {
    this.#reader = reader;
    this.#signal = signal;
  }

  async run() {
    const notifier = this.#reader.realtime();
    const follower = new Follower(this.#reader, {
      cursor: await this.#begin(),
      signal: this.#signal,
      longestMs: LONGEST_MS,
      notifier,
      onError: (error) => failed(error),
      onPoll: () => polled(notifier.connected),
    });
    const options = { signal: this.#signal };
    addEventListener("online", () => follower.wake(), options);
    addEventListener("offline", () => view.state("Offline. What is shown may be old.", true), options);
    document.addEventListener("visibilitychange", () => document.hidden || follower.wake(), options);
    for await (const { changes } of follower) await this.#take(changes);
  }

  /** The cursor comes first, so that nothing is missed between the two. Tried until the server answers. */
  async #begin() {
    while (!this.#signal.aborted) {
      try {
        const cursor = await this.#reader.latest();
        await this.#list();
        return cursor;
      } catch (error) {
        failed(error);
        await new Promise((resolve) => setTimeout(resolve, LONGEST_MS));
      }
    }
    return undefined;
  }

  async #list() {
    const list = await this.#reader.sessions();
    this.#known = new Set(list.map(({ id }) => id));
    view.sessions(list, this.#chosen, (session) => this.#choose(session).catch(failed));
  }

  async #choose(session) {
    this.#chosen = session.id;
    this.#live.clear();
    view.begin(session);
    await this.#list();
    $("session-title").focus();
    try {
      for await (const message of this.#reader.messages(session.id)) {
        if (this.#chosen !== session.id) return;
        if (!this.#live.has(message.sequenceNumber)) view.message(message);
      }
    } catch (error) {
      if (error.code !== "no-envelope") throw error;
      view.note("Not shared with this browser. Run `levi share` on the device that wrote it.");
    }
  }

  async #take(changes) {
    for (const change of changes.filter(({ sessionId }) => sessionId === this.#chosen)) {
      this.#live.add(change.sequenceNumber);
      view.message(change);
    }
    if (changes.some(({ sessionId }) => !this.#known.has(sessionId))) await this.#list().catch(failed);
  }
}

function polled(isPushed) {
  view.alarm(); // The server shows the right list again, or answers at all.
  view.state(`${isPushed ? "Live, by Realtime" : "Live"}. Checked at ${new Date().toLocaleTimeString()}.`);
}

export function failed(error) {
  const problem = error.status === 401 ? "The sign-in has ended. Sign out, and sign in again." : LIST_PROBLEMS[error.code];
  if (problem) view.alarm(problem);
  view.state(problem ? "Stopped" : "Offline. What is shown may be old.", true);
}
