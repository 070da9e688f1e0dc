/** @param {Entry} entry */
export function encodeEntry(entry: Entry): Uint8Array<any>;
/**
 * @param {Uint8Array} bytes
 * @returns {Entry} an entry of an unknown kind has `kind: undefined` and no body
 */
export function decodeEntry(bytes: Uint8Array): Entry;
/**
 * A row of `levi_device_list`. From the server its columns may hold anything.
 *
 * @typedef {object} ListRow
 * @property {number} slot
 * @property {string} entry
 * @property {string} signature
 * @property {string | null} cosignature
 */
/**
 * @param {Entry} entry
 * @param {import("./keys.js").MemberKeys} signer
 * @param {import("./keys.js").MemberKeys} [cosigner]
 * @returns {Promise<ListRow>}
 */
export function signEntry(entry: Entry, signer: import("./keys.js").MemberKeys, cosigner?: import("./keys.js").MemberKeys): Promise<ListRow>;
/**
 * A row whose columns are well formed, decoded. Nothing is verified.
 *
 * @typedef {object} SignedEntry
 * @property {ListRow} row
 * @property {Entry} entry
 * @property {Uint8Array} bytes
 * @property {string} hash
 * @property {Uint8Array} signature
 * @property {Uint8Array | null} cosignature
 */
/**
 * @param {ListRow} row
 * @returns {Promise<SignedEntry>}
 */
export function decodeRow(row: ListRow): Promise<SignedEntry>;
export const MAX_SLOT: 1999;
/** What a genesis has as `prev`. */
export const NO_HASH: string;
export function cosignerOf({ kind, device, recovery }: {
    kind: any;
    device: any;
    recovery: any;
}): any;
export function hashOf(bytes: Uint8Array): Promise<string>;
export function commitmentTo(genesis: string, epoch: number, secret: Uint8Array): Promise<string>;
/**
 * A row of `levi_device_list`. From the server its columns may hold anything.
 */
export type ListRow = {
    slot: number;
    entry: string;
    signature: string;
    cosignature: string | null;
};
/**
 * A row whose columns are well formed, decoded. Nothing is verified.
 */
export type SignedEntry = {
    row: ListRow;
    entry: Entry;
    bytes: Uint8Array;
    hash: string;
    signature: Uint8Array;
    cosignature: Uint8Array | null;
};
/**
 * the beginning of an epoch
 */
export type Rotation = {
    epoch: number;
    commitment: string;
};
export type Entry = {
    kind: "genesis" | "add" | "remove" | "new-recovery-key" | "recover";
    slot: number;
    prev: string;
    userId: string;
    /**
     * by the signer's clock; no rule depends on it
     */
    timeMs: bigint;
    signerId: string;
    /**
     * in a genesis, "add" and "recover"
     */
    device?: import("./member.js").Member;
    /**
     * in a genesis and "new-recovery-key"
     */
    recovery?: import("./member.js").Member;
    /**
     * in "remove", where it is one, and "recover"
     */
    removed?: string[];
    /**
     * in all but "add"; in a genesis its epoch is 1
     */
    rotation?: Rotation;
};
