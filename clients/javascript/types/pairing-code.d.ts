/** The text of a new code, to be shown by a device that is on the list. */
export function newPairingCode(): string;
/**
 * The 95 bits that a person typed, and a zero bit. Every single mistake and every exchange of two is noticed.
 *
 * @param {string} text
 */
export function parsePairingCode(text: string): Uint8Array<ArrayBuffer>;
/** @typedef {{ rowId: string, request: Uint8Array, answer: Uint8Array }} PairingKeys */
/**
 * @param {string} userId
 * @param {Uint8Array} code of `parsePairingCode`
 * @returns {Promise<PairingKeys>}
 */
export function pairingKeys(userId: string, code: Uint8Array): Promise<PairingKeys>;
export type PairingKeys = {
    rowId: string;
    request: Uint8Array;
    answer: Uint8Array;
};
