/**
 * Opens a request, on the device that shows the code. Its person compares the member's name and fingerprint with those
 * on the new device.
 *
 * @param {import("./pairing-code.js").PairingKeys} keys
 * @param {string} userId
 * @param {string} column
 */
export function openRequest(keys: import("./pairing-code.js").PairingKeys, userId: string, column: string): {
    member: import("./member.js").Member;
    fresh: any;
};
/**
 * What the old device answers.
 *
 * @typedef {object} Answer
 * @property {string} genesis of the old device's list
 * @property {string} head of the old device's list
 * @property {number} slot of that head
 * @property {Uint8Array} entry that adds the new device
 */
/**
 * The answer, on the device that shows the code, after its person said yes.
 *
 * @param {import("./pairing-code.js").PairingKeys} keys
 * @param {string} userId
 * @param {Uint8Array} fresh of the request
 * @param {import("./device-list.js").DeviceList} list
 * @param {Uint8Array} entry the encoding of the entry that adds the new device
 */
export function sealAnswer(keys: import("./pairing-code.js").PairingKeys, userId: string, fresh: Uint8Array, list: import("./device-list.js").DeviceList, entry: Uint8Array): string;
export const FRESH_BYTES: 16;
/** A new device that asks to be added. */
export class Join {
    /**
     * Begins with the code that the person typed or scanned. `member` is this device with its new keys.
     *
     * @param {string} userId
     * @param {string} code
     * @param {import("./member.js").Member} member
     */
    static begin(userId: string, code: string, member: import("./member.js").Member, fresh?: Uint8Array<any>): Promise<Join>;
    constructor(userId: any, member: any, keys: any, fresh: any);
    /** The id of the row in `levi_pairings`. */
    get rowId(): any;
    /** The column `request` of that row. */
    request(): string;
    /**
     * Opens the column `answer`, and checks that it answers this request and would add exactly this device.
     *
     * @param {string} column
     * @returns {Answer}
     */
    openAnswer(column: string): Answer;
    /**
     * The column `cosignature`, after the list that the server shows was read up to the head that the old device named.
     *
     * @param {Answer} answer
     * @param {import("./entry.js").ListRow[]} rows
     * @param {import("./keys.js").MemberKeys} keys of this device
     */
    cosign(answer: Answer, rows: import("./entry.js").ListRow[], keys: import("./keys.js").MemberKeys): Promise<string>;
    /**
     * The list to pin, once the old device has added this one. Until then it throws `not-added`.
     *
     * @param {Answer} answer
     * @param {import("./entry.js").ListRow[]} rows
     */
    finish(answer: Answer, rows: import("./entry.js").ListRow[]): Promise<any>;
    #private;
}
/**
 * What the old device answers.
 */
export type Answer = {
    /**
     * of the old device's list
     */
    genesis: string;
    /**
     * of the old device's list
     */
    head: string;
    /**
     * of that head
     */
    slot: number;
    /**
     * that adds the new device
     */
    entry: Uint8Array;
};
