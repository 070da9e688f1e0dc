/**
 * Checks every secret against the commitments of the list.
 *
 * @param {Keyring} keyring
 * @param {import("./device-list.js").DeviceList} list
 */
export function checkKeyring(keyring: Keyring, list: import("./device-list.js").DeviceList): Promise<void>;
/**
 * Opens the keyring of a member, and checks it against the list.
 *
 * @param {KeyringRow} row
 * @param {import("./device-list.js").DeviceList} list
 * @param {string} recipientId
 * @param {import("./keys.js").MemberKeys} keys
 * @returns {Promise<Keyring>}
 */
export function openKeyring(row: KeyringRow, list: import("./device-list.js").DeviceList, recipientId: string, keys: import("./keys.js").MemberKeys): Promise<Keyring>;
/**
 * Seals the keyring for an active member of the list.
 *
 * @param {Keyring} keyring
 * @param {import("./device-list.js").DeviceList} list
 * @param {string} recipientId
 * @returns {Promise<KeyringRow>}
 */
export function sealKeyring(keyring: Keyring, list: import("./device-list.js").DeviceList, recipientId: string): Promise<KeyringRow>;
/**
 * The secrets of epoch 1, 2, ...; null for an epoch that a recovery cut off and whose secret is lost.
 */
export type Keyring = (Uint8Array | null)[];
/**
 * A row of `levi_keyrings`.
 */
export type KeyringRow = {
    epoch: number;
    enc: string;
    sealed: string;
};
