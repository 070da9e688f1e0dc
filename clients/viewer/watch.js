// The sessions on the page, kept up to date as they are written.

import { Follower, LeviError, TrustError } from "levi-client";

/** Between two polls while the page is looked at and Realtime is not connected, and between two looks at what is waited for. */
const LOOKED_AT_MS = 1_500;
const HIDDEN_MS = 30_000;
/** However long a server says, because it may be wrong. */
const LONGEST_ASKED_MS = 330_000;
/** The list of sessions is read again after so many of those looks. */
const LOOKS_A_LIST = 10;

/** Problems of the device list, for people. Nothing is shown that was not read under the pinned list. */
const LIST_PROBLEMS = {
  forked: "The server shows a device list that differs from this browser's. Compare `levi verify` on your devices.",
  "rolled-back": "The server hides entries of your device list that this browser has seen.",
  "unknown-kind": "Your device list goes on with an entry that this version does not know. Update the viewer.",
  removed: "This browser was removed from your devices. It reads nothing that is written from now on, unless you add it again.",
  "no-keyring": "The server has no keyring for this browser. Add it again.",
};

/** What is wrong with the project or the sign-in, by the server's status. */
const STATUS_PROBLEMS = {
  401: "The sign-in has ended. Sign out, and sign in again.",
  404: "The server does not have Levi's tables. Is the URL the project's, and are all migrations applied, as in docs/supabase.md?",
  540: "The project is paused. Restore it in Supabase's dashboard.",
};
const NO_CHANGE_FEED = "The project lacks a migration: apply 20260102000000_change_feed.sql, as in docs/supabase.md.";
const MAY_BE_OLD = "What is shown may be old.";
const OFFLINE = `Offline. ${MAY_BE_OLD}`;
const NOT_ON_LIST = "Your devices keep a signed list, and this browser is not on it. Add it again, with a code.";

/** What another envelope or another list may mend. */
const NOT_SHARED = new Set(["no-envelope", "unknown-sender", "forged", "truncated", "not-a-secret"]);

export class Watch {
  #reader;
  #view;
  #signal;
  #known = new Set();
  #chosen;
  /** Another one for each time that the chosen session is read from its start. */
  #reading = 0;
  /** Numbers in the chosen session that came live, and so are newer than what is still being read from the start. */
  #live = new Set();
  /** Where something of the chosen session could not be read, `keyMark` as it was then. */
  #waitsSince;
  #isConnected = false;
  #notice = "";

  /** `view` writes on the page for as long as the signal is not aborted. */
  constructor(reader, view, signal) {
    this.#reader = reader;
    this.#view = view;
    this.#signal = signal;
  }

  /** Until the signal is aborted. */
  async run() {
    const notifier = this.#reader.realtime();
    const cursor = await this.#begin();
    const follower = new Follower(this.#reader, {
      cursor,
      signal: this.#signal,
      longestMs: LOOKED_AT_MS,
      notifier,
      onError: (error) => this.#failed(error),
      onPoll: () => this.#polled(notifier.connected),
    });
    const options = { signal: this.#signal };
    addEventListener("online", () => follower.wake(), options);
    addEventListener("offline", () => this.#view.state(OFFLINE, true), options);
    const looked = () => {
      follower.longestMs = document.hidden ? HIDDEN_MS : LOOKED_AT_MS;
      if (!document.hidden) follower.wake();
    };
    document.addEventListener("visibilitychange", looked, options);
    void this.#lookAround();
    for await (const { changes } of follower) await this.#take(changes);
  }

  /**
   * The cursor comes first, so that nothing is missed between the two. Tried until the server answers, and more and
   * more seldom where it refuses.
   */
  async #begin() {
    for (let refused = 0; !this.#signal.aborted; ) {
      try {
        const cursor = await this.#reader.latest();
        await this.#list();
        return cursor;
      } catch (error) {
        this.#failed(error);
        const wait = Math.min(LOOKED_AT_MS * 2 ** refused, HIDDEN_MS);
        refused = isOffline(error) ? 0 : refused + 1;
        await this.#pause(Math.max(wait, Math.min(error.retryAfterMs ?? 0, LONGEST_ASKED_MS)));
      }
    }
    return undefined;
  }

  /** What no change tells of: a session that was shared, a title or a state that is another. */
  async #lookAround() {
    for (let look = 1; !this.#signal.aborted; look++) {
      await this.#pause();
      if (document.hidden || !this.#isConnected) continue;
      try {
        if (this.#waitsSince !== undefined) await this.#readAgain();
        if (look % LOOKS_A_LIST === 0) await this.#list();
      } catch {
        // The follower asks the same server, and says what is wrong.
      }
    }
  }

  #pause(ms = LOOKED_AT_MS) {
    return new Promise((resolve) => setTimeout(resolve, ms));
  }

  async #list() {
    const list = await this.#reader.sessions();
    this.#known = new Set(list.map(({ id }) => id));
    this.#view.sessions(list, this.#chosen?.id, (session) => this.#choose(session).catch((error) => this.#failed(error)));
    if (!this.#reader.list) this.#notice = (await this.#reader.hasList()) ? NOT_ON_LIST : "";
  }

  async #choose(session) {
    this.#chosen = session;
    this.#waitsSince = undefined;
    this.#view.begin(session);
    await this.#read(session);
    await this.#list();
  }

  async #readAgain() {
    const session = this.#chosen;
    const mark = await this.#reader.keyMark(session.id);
    if (session === this.#chosen && mark !== this.#waitsSince) await this.#read(session);
  }

  /** From its start, so that all of it is read under one order of the epochs. */
  async #read(session) {
    const reading = ++this.#reading;
    this.#live.clear();
    let [mark, isWhole] = ["", true];
    try {
      mark = await this.#reader.keyMark(session.id);
      for await (const message of this.#reader.messages(session.id)) {
        if (reading !== this.#reading) return;
        this.#view.note();
        isWhole &&= message.problem === undefined;
        if (!this.#live.has(message.sequenceNumber)) this.#view.message(message);
      }
    } catch (error) {
      if (reading !== this.#reading) return;
      isWhole = false;
      if (NOT_SHARED.has(error.code) && !(error instanceof TrustError)) {
        this.#view.note("Not shared with this browser. Run `levi share` on the device that wrote it.");
      } else {
        mark = ""; // It is read again when the server answers.
        this.#failed(error);
      }
    }
    this.#waitsSince = isWhole ? undefined : mark;
    this.#view.ready();
  }

  async #take(changes) {
    for (const change of changes.filter(({ sessionId }) => sessionId === this.#chosen?.id)) {
      this.#live.add(change.sequenceNumber);
      this.#view.message(change);
    }
    const isNew = changes.some(({ sessionId }) => !this.#known.has(sessionId));
    if (isNew) await this.#list().catch((error) => this.#failed(error));
  }

  #polled(isPushed) {
    this.#isConnected = true;
    this.#view.alarm(this.#notice); // The server shows the right list again, or answers at all.
    this.#view.state(`${isPushed ? "Live, by Realtime" : "Live"}. Checked at ${new Date().toLocaleTimeString()}.`);
  }

  #failed(error) {
    this.#isConnected = false;
    const problem = problemOf(error);
    if (problem) this.#view.alarm(problem);
    this.#view.state(problem ? "Stopped" : stateOf(error), true);
  }
}

/** What a person must see to, if that is known. */
function problemOf(error) {
  if (error.code === "no-change-feed") return NO_CHANGE_FEED;
  if (!(error instanceof TrustError)) return STATUS_PROBLEMS[error.status];
  return LIST_PROBLEMS[error.code] ?? "Your device list, or this browser's keyring, is not as it must be.";
}

/** No answer came at all. */
const isOffline = (error) => !error.status && !(error instanceof LeviError);

function stateOf(error) {
  if (isOffline(error)) return OFFLINE;
  const answer = error.status ? `The server answers with ${error.status}` : "The server's answer cannot be used";
  return `${answer}${error.code ? ` (${error.code})` : ""}. ${MAY_BE_OLD}`;
}
