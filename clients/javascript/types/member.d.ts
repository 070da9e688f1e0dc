/**
 * @typedef {object} Member
 * @property {string} id of its row in `devices`
 * @property {"device" | "recovery"} type
 * @property {string} name for people; nothing depends on it
 * @property {import("./keys.js").PublicKeys} keys
 */
/** @param {Member} member */
export function encodeMember({ id, type, name, keys }: Member): Uint8Array<any>;
/**
 * @param {import("./bytes.js").Reader} reader
 * @returns {Member}
 */
export function readMember(reader: import("./bytes.js").Reader): Member;
/** Signatures cover ids as text, and PostgreSQL returns uuids in lower case. */
export function checkId(id: any): void;
export function checkName(name: any): void;
/**
 * 16 characters that differ for every other set of keys, for people to compare.
 *
 * @param {Member} member
 */
export function fingerprint({ keys }: Member): Promise<string>;
export function isSignedBy({ keys }: {
    keys: any;
}, signature: any, bytes: any): Promise<boolean>;
export type Member = {
    /**
     * of its row in `devices`
     */
    id: string;
    type: "device" | "recovery";
    /**
     * for people; nothing depends on it
     */
    name: string;
    keys: import("./keys.js").PublicKeys;
};
