/**
 * A pairing that has begun. Plain data, and secret: it has the new device's keys and the code.
 *
 * @typedef {object} Pending
 * @property {import("./reader.js").Device} device
 * @property {string} name
 * @property {string} deviceType
 * @property {string} code
 * @property {string} fresh
 * @property {number} until milliseconds since 1970
 * @property {string} [answer] of the other device, once it has come
 */
/**
 * What to tell of a pairing while it lasts.
 *
 * @typedef {object} Progress
 * @property {(fingerprint: string) => unknown} [onRequested] shows what the person compares on the other device
 * @property {(pending: Pending) => unknown} [onPending] stores it, so that `resumePairing` can go on with it. Else the list
 *   may get a member whose keys nobody has, where this program ends in between
 * @property {AbortSignal} [signal]
 */
/**
 * @param {object} options
 * @param {import("@supabase/supabase-js").SupabaseClient} options.supabase signed in
 * @param {string} options.userId
 * @param {string} options.code
 * @param {string} options.name of this device, for people
 * @param {string} [options.deviceType]
 * @param {import("./keys.js").MemberKeys} [options.keys] new ones, made before for a caller that shows their fingerprint
 *   first
 * @param {Progress["onRequested"]} [options.onRequested]
 * @param {Progress["onPending"]} [options.onPending]
 * @param {AbortSignal} [options.signal]
 * @returns {Promise<{ device: import("./reader.js").Device, pin: import("./trust.js").Pin }>} to be stored: the keys
 *   where nothing else reads them
 */
export function pair({ supabase, userId, code, name, deviceType, keys, ...progress }: {
    supabase: import("@supabase/supabase-js").SupabaseClient;
    userId: string;
    code: string;
    name: string;
    deviceType?: string;
    keys?: import("./keys.js").MemberKeys;
    onRequested?: Progress["onRequested"];
    onPending?: Progress["onPending"];
    signal?: AbortSignal;
}): Promise<{
    device: import("./reader.js").Device;
    pin: import("./trust.js").Pin;
}>;
/**
 * Goes on with a pairing that `onPending` stored. A LeviError, and the signal before the other device has answered, end it
 * for good; the keys are then on no list.
 *
 * @param {object} options
 * @param {import("@supabase/supabase-js").SupabaseClient} options.supabase signed in
 * @param {string} options.userId
 * @param {Pending} options.pending
 * @param {Progress["onRequested"]} [options.onRequested]
 * @param {Progress["onPending"]} [options.onPending]
 * @param {AbortSignal} [options.signal]
 * @returns {Promise<{ device: import("./reader.js").Device, pin: import("./trust.js").Pin }>} to be stored
 */
export function resumePairing({ supabase, userId, pending, ...progress }: {
    supabase: import("@supabase/supabase-js").SupabaseClient;
    userId: string;
    pending: Pending;
    onRequested?: Progress["onRequested"];
    onPending?: Progress["onPending"];
    signal?: AbortSignal;
}): Promise<{
    device: import("./reader.js").Device;
    pin: import("./trust.js").Pin;
}>;
/**
 * Registers this device without a device list: every row of `devices` is believed. Sessions are shared with it from now
 * on, and earlier ones by `levi share`. Throws `has-list` where the user has a signed list.
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
/**
 * Sessions are no longer shared with the device where there is no list. A member of the list stays one until `levi remove`.
 *
 * @param {object} options
 * @param {import("@supabase/supabase-js").SupabaseClient} options.supabase signed in
 * @param {string} options.userId
 * @param {string} options.deviceId
 */
export function deactivate({ supabase, userId, deviceId }: {
    supabase: import("@supabase/supabase-js").SupabaseClient;
    userId: string;
    deviceId: string;
}): Promise<void>;
/**
 * A pairing that has begun. Plain data, and secret: it has the new device's keys and the code.
 */
export type Pending = {
    device: import("./reader.js").Device;
    name: string;
    deviceType: string;
    code: string;
    fresh: string;
    /**
     * milliseconds since 1970
     */
    until: number;
    /**
     * of the other device, once it has come
     */
    answer?: string;
};
/**
 * What to tell of a pairing while it lasts.
 */
export type Progress = {
    /**
     * shows what the person compares on the other device
     */
    onRequested?: (fingerprint: string) => unknown;
    /**
     * stores it, so that `resumePairing` can go on with it. Else the list
     * may get a member whose keys nobody has, where this program ends in between
     */
    onPending?: (pending: Pending) => unknown;
    signal?: AbortSignal;
};
