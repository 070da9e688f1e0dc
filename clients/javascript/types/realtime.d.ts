export class Realtime {
    /**
     * @param {import("@supabase/supabase-js").SupabaseClient} supabase signed in; it renews the token on the channel
     * @param {string} userId
     */
    constructor(supabase: import("@supabase/supabase-js").SupabaseClient, userId: string);
    /** Whether changes are pushed now. */
    connected: boolean;
    /**
     * Connects, and calls `wake` when something may have changed, or when `connected` is another.
     *
     * @param {() => unknown} wake
     */
    start(wake: () => unknown): void;
    stop(): void;
    #private;
}
