/**
 * A member with its history.
 *
 * @typedef {object} ListMember
 * @property {import("./member.js").Member} member
 * @property {import("./entry.js").Entry} added by this entry
 * @property {import("./entry.js").Entry | undefined} removed by this entry, if it was
 */
/** A list after its accepted entries, the first of which is the genesis. It never changes: `accept` returns another. */
export class DeviceList {
    /**
     * Begins a list with a genesis. Throws where it is not a valid one for the user.
     *
     * @param {string} userId
     * @param {import("./entry.js").SignedEntry} signed
     */
    static begin(userId: string, signed: import("./entry.js").SignedEntry): Promise<DeviceList>;
    constructor(chain: any, superseded: any, members: any, rotations: any, lastEpoch: any);
    /** @type {ListMember[]} in the order in which they were added, removed ones included */
    members: ListMember[];
    /** @type {import("./entry.js").Rotation[]} in ascending order; a recovery may leave gaps */
    rotations: import("./entry.js").Rotation[];
    /** @type {number} the last epoch of any entry seen, those included that were cut off */
    lastEpoch: number;
    get userId(): string;
    /** The hash of the genesis. It identifies the list. */
    get genesis(): string;
    /** The hash of the last entry. */
    get head(): string;
    /** The slot of the last entry. */
    get slot(): number;
    /** The current epoch. */
    get epoch(): number;
    /** The accepted rows, for a device to keep as its pin. */
    get rows(): import("./entry.js").ListRow[];
    get chain(): import("./entry.js").SignedEntry[];
    /** Who is given secrets, the recovery key included. */
    get active(): import("./member.js").Member[];
    get activeDevices(): import("./member.js").Member[];
    /** The recovery key. Every list has one. */
    get recovery(): import("./member.js").Member;
    /** The member with this id, removed ones included: whose envelopes may be opened. */
    member(id: any): import("./member.js").Member;
    /** The commitment to an epoch's secret; undefined for an epoch that a recovery cut off. */
    commitment(epoch: any): string;
    /** Whether the entry is part of the list, or was before a recovery cut it off. */
    hasSeen(hash: any): boolean;
    /** 32 digits for a person to compare on two devices: equal exactly if both have one history. */
    verifyCode(): Promise<string>;
    /**
     * The list with one more entry. Throws where the entry is not valid on the head.
     *
     * @param {import("./entry.js").SignedEntry} signed
     */
    accept(signed: import("./entry.js").SignedEntry): Promise<DeviceList>;
    /**
     * Checks everything about an entry on the head but its signatures. Returns the signer.
     *
     * @param {import("./entry.js").Entry} entry
     */
    check(entry: import("./entry.js").Entry): import("./member.js").Member;
    #private;
}
/**
 * A member with its history.
 */
export type ListMember = {
    member: import("./member.js").Member;
    /**
     * by this entry
     */
    added: import("./entry.js").Entry;
    /**
     * by this entry, if it was
     */
    removed: import("./entry.js").Entry | undefined;
};
