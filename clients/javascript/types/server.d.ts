/**
 * A row of `agent_coding_session_messages`.
 *
 * @typedef {object} MessageRow
 * @property {string} session_id
 * @property {string} number
 * @property {string} content_encrypted
 * @property {string} content_nonce
 * @property {string} [change] its place in the change feed
 * @property {boolean} [isTooLong] the server gives no more of it than its place
 */
/** @typedef {{ change: string, content_nonce?: string | null }} ChangeNonce */
/**
 * A part of the change feed: of one session, up to a place.
 *
 * @typedef {{ sessionId?: string, until?: string }} Within
 */
/**
 * A row of `agent_coding_sessions`.
 *
 * @typedef {object} SessionRow
 * @property {string} id
 * @property {string | null} title
 * @property {string} status
 * @property {string} device_id
 * @property {string | null} working_directory
 * @property {string | null} current_branch
 * @property {string} last_heartbeat_at
 */
/**
 * A row of `devices`.
 *
 * @typedef {object} DeviceRow
 * @property {string} id
 * @property {string} name
 * @property {string} device_type
 * @property {string | null} public_key
 * @property {boolean} is_active
 */
export class Server {
    /**
     * @param {import("@supabase/supabase-js").SupabaseClient} supabase signed in
     * @param {string} userId
     */
    constructor(supabase: import("@supabase/supabase-js").SupabaseClient, userId: string);
    userId: string;
    /** A notifier for one follower. */
    realtime(): Realtime;
    /** The rows of the signed device list, all of them. */
    listRows(): Promise<any[]>;
    /** @returns {Promise<import("./keyring.js").KeyringRow | null>} */
    keyring(memberId: any): Promise<import("./keyring.js").KeyringRow | null>;
    registerDevice({ id, name, deviceType, publicKey }: {
        id: any;
        name: any;
        deviceType: any;
        publicKey: any;
    }): Promise<any>;
    /** Sessions are no longer shared with the device. */
    deactivateDevice(id: any): Promise<any>;
    requestPairing(id: any, request: any): Promise<any>;
    /** @returns {Promise<{ answer: string | null } | null>} */
    pairing(id: any): Promise<{
        answer: string | null;
    } | null>;
    cosignPairing(id: any, cosignature: any): Promise<any>;
    /** The public key in a device's row, which is the server's word. */
    deviceKey(id: any): Promise<any>;
    devices(): Promise<any[]>;
    sessions(): Promise<any[]>;
    /** The device that owns a session. */
    sessionOwner(sessionId: any): Promise<any>;
    /** The envelope of a session for a device. */
    envelope(sessionId: any, deviceId: any): Promise<any>;
    /** The envelopes of sessions for a device, of those that have one. */
    envelopes(sessionIds: any, deviceId: any): Promise<any[]>;
    /**
     * What changed after a place in the change feed, over all sessions or in one.
     *
     * @param {string} after
     * @param {number} limit
     * @param {Within} [within]
     * @returns {Promise<MessageRow[]>}
     */
    changes(after: string, limit: number, within?: Within): Promise<MessageRow[]>;
    /**
     * The first of `changes`, without what it says.
     *
     * @param {string} after
     * @param {Within} [within]
     */
    firstChange(after: string, within?: Within): Promise<any>;
    /** The highest number among the messages of a session that changed up to a place in the feed; undefined without one. */
    highestBy(sessionId: any, change: any): Promise<any>;
    /** The last change; none before the first. */
    lastChange(): Promise<any>;
    /**
     * The last changes with their nonces, the last one first.
     *
     * @param {number} limit
     * @returns {Promise<ChangeNonce[]>}
     */
    lastNonces(limit: number): Promise<ChangeNonce[]>;
    /**
     * What there is of some changes with one of these nonces each.
     *
     * @param {string[]} changes
     * @param {string[]} nonces
     * @returns {Promise<ChangeNonce[]>}
     */
    noncesAt(changes: string[], nonces: string[]): Promise<ChangeNonce[]>;
    /** @returns {Promise<MessageRow[]>} */
    messages(sessionId: any, after: any, limit: any): Promise<MessageRow[]>;
    /** The first of `messages`, without what it says. */
    firstMessage(sessionId: any, after: any): Promise<any>;
    /**
     * Those that say that they are of an epoch.
     *
     * @returns {Promise<MessageRow[]>}
     */
    messagesOf(epoch: any, sessionId: any, after: any, limit: any): Promise<MessageRow[]>;
    /** The first of `messagesOf`, without what it says. */
    firstMessageOf(epoch: any, sessionId: any, after: any): Promise<any>;
    #private;
}
/**
 * A row of `agent_coding_session_messages`.
 */
export type MessageRow = {
    session_id: string;
    number: string;
    content_encrypted: string;
    content_nonce: string;
    /**
     * its place in the change feed
     */
    change?: string;
    /**
     * the server gives no more of it than its place
     */
    isTooLong?: boolean;
};
export type ChangeNonce = {
    change: string;
    content_nonce?: string | null;
};
/**
 * A part of the change feed: of one session, up to a place.
 */
export type Within = {
    sessionId?: string;
    until?: string;
};
/**
 * A row of `agent_coding_sessions`.
 */
export type SessionRow = {
    id: string;
    title: string | null;
    status: string;
    device_id: string;
    working_directory: string | null;
    current_branch: string | null;
    last_heartbeat_at: string;
};
/**
 * A row of `devices`.
 */
export type DeviceRow = {
    id: string;
    name: string;
    device_type: string;
    public_key: string | null;
    is_active: boolean;
};
import { Realtime } from "./realtime.js";
