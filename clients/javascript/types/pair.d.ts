/**
 * @param {object} options
 * @param {import("@supabase/supabase-js").SupabaseClient} options.supabase signed in
 * @param {string} options.userId
 * @param {string} options.code
 * @param {string} options.name of this device, for people
 * @param {string} [options.deviceType]
 * @param {import("./keys.js").MemberKeys} [options.keys] new ones, made before for a caller that shows their fingerprint
 *   first
 * @param {(fingerprint: string) => unknown} [options.onRequested] shows what the person compares on the other device
 * @param {AbortSignal} [options.signal]
 * @returns {Promise<{ device: import("./reader.js").Device, pin: import("./trust.js").Pin }>} to be stored: the keys
 *   where nothing else reads them
 */
export function pair(options: {
    supabase: import("@supabase/supabase-js").SupabaseClient;
    userId: string;
    code: string;
    name: string;
    deviceType?: string;
    keys?: import("./keys.js").MemberKeys;
    onRequested?: (fingerprint: string) => unknown;
    signal?: AbortSignal;
}): Promise<{
    device: import("./reader.js").Device;
    pin: import("./trust.js").Pin;
}>;
/**
 * Registers this device without a device list: every row of `devices` is believed. Sessions are shared with it from now
 * on, and earlier ones by `levi share`.
 *
 * @param {object} options
 * @param {import("@supabase/supabase-js").SupabaseClient} options.supabase signed in
 * @param {string} options.userId
 * @param {string} options.name of this device, for people
 * @param {string} [options.deviceType]
 * @returns {Promise<{ device: import("./reader.js").Device, pin?: undefined }>} to be stored
 */
export function register({ supabase, userId, name, deviceType }: {
    supabase: import("@supabase/supabase-js").SupabaseClient;
    userId: string;
    name: string;
    deviceType?: string;
}): Promise<{
    device: import("./reader.js").Device;
    pin?: undefined;
}>;
