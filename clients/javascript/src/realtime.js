// Supabase Realtime as the notifier of a follower: a channel of supabase-js that says that something was written. What it
// says is not read: the follower reads through the same request as always.

const TABLE = "agent_coding_session_messages";
/** Not "*": neither policies nor filters apply to deletions, so that would wake for those of other users. */
const EVENTS = /** @type {const} */ (["INSERT", "UPDATE"]);
const FIRST_MS = 1_000;
const LONGEST_MS = 300_000;
/** A connection that held this long counts as one that works, and the delays begin anew. */
const STEADY_MS = 60_000;
/** How long the server has to confirm the subscription after it took the channel. */
const CONFIRM_MS = 15_000;

export class Realtime {
  #supabase;
  #userId;
  #channel;
  #timer;
  #failures = 0;
  #joins = 0;
  #since = 0;
  #wake = () => {};
  /** Whether changes are pushed now. */
  connected = false;

  /**
   * @param {import("@supabase/supabase-js").SupabaseClient} supabase signed in; it renews the token on the channel
   * @param {string} userId
   */
  constructor(supabase, userId) {
    this.#supabase = supabase;
    this.#userId = userId;
  }

  /**
   * Connects, and calls `wake` when something may have changed, or when `connected` is another.
   *
   * @param {() => unknown} wake
   */
  start(wake) {
    this.#wake = wake;
    this.#join();
  }

  stop() {
    this.#wake = () => {};
    this.#leave();
  }

  #join() {
    // A topic of its own, because supabase-js gives out a channel that it still leaves.
    const channel = this.#supabase.channel(`levi:${this.#userId}:${this.#joins++}`);
    this.#channel = channel;
    const filter = `user_id=eq.${this.#userId}`;
    for (const event of EVENTS) {
      channel.on("postgres_changes", { event, schema: "public", table: TABLE, filter }, () => this.#changed(channel));
    }
    channel.on("system", {}, ({ extension, status }) => {
      if (extension !== "postgres_changes") return;
      if (status === "ok") this.#confirmed(channel);
      else this.#failed(channel);
    });
    channel.subscribe((status) => {
      // supabase-js joins again by itself after some failures and not after others, so it is always done here.
      if (status === "SUBSCRIBED") this.#after(CONFIRM_MS, () => this.#failed(channel));
      else this.#failed(channel);
    });
  }

  #changed(channel) {
    if (channel !== this.#channel) return;
    if (this.connected) this.#wake();
    else this.#confirmed(channel);
  }

  #confirmed(channel) {
    if (channel !== this.#channel) return;
    clearTimeout(this.#timer);
    this.#since = Date.now();
    this.#report(true);
  }

  #failed(channel) {
    if (channel !== this.#channel) return;
    this.#leave();
    if (this.connected && Date.now() - this.#since >= STEADY_MS) this.#failures = 0;
    this.#report(false);
    const delay = Math.min(FIRST_MS * 2 ** this.#failures++, LONGEST_MS);
    this.#after(delay * (1 + Math.random() / 2), () => this.#join());
  }

  #leave() {
    clearTimeout(this.#timer);
    const channel = this.#channel;
    this.#channel = undefined;
    // Its answer does not matter.
    if (channel) Promise.resolve(this.#supabase.removeChannel(channel)).catch(() => {});
  }

  #after(ms, action) {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(action, ms);
  }

  #report(connected) {
    const isAnother = this.connected !== connected;
    this.connected = connected;
    if (isAnother) this.#wake();
  }
}
