/**
 * The epoch and the nonce in `content_nonce`. The epoch is the server's word until the message opens.
 *
 * @param {string} contentNonce
 */
export function parseNonce(contentNonce: string): {
    epoch: number;
    nonce: Uint8Array<ArrayBuffer>;
};
/**
 * The key of one session in one epoch. It may be kept in memory, and is not to be stored.
 *
 * @param {Uint8Array} sessionKey of the session's secret
 * @param {string} sessionId
 * @param {number} epoch
 * @param {Uint8Array} epochSecret
 */
export function epochMessageKey(sessionKey: Uint8Array, sessionId: string, epoch: number, epochSecret: Uint8Array): Promise<{
    epoch: number;
    key: Uint8Array<ArrayBuffer>;
}>;
/**
 * @param {{ epoch: number, key: Uint8Array }} epochKey
 * @param {string} sessionId
 * @param {string | number | bigint} sequenceNumber
 * @param {string} content
 * @param {{ padding?: "none" | "padme", order?: Order, nonce?: Uint8Array }} [options]
 */
export function sealMessageV2(epochKey: {
    epoch: number;
    key: Uint8Array;
}, sessionId: string, sequenceNumber: string | number | bigint, content: string, options?: {
    padding?: "none" | "padme";
    order?: Order;
    nonce?: Uint8Array;
}): {
    content_encrypted: string;
    content_nonce: string;
};
/**
 * @param {{ epoch: number, key: Uint8Array }} epochKey of the epoch that `parseNonce` returned
 * @param {string} sessionId
 * @param {string | number | bigint} sequenceNumber
 * @param {{ content_encrypted: string, content_nonce: string }} row
 * @returns {{ content: string, order: Order }}
 */
export function openMessageV2(epochKey: {
    epoch: number;
    key: Uint8Array;
}, sessionId: string, sequenceNumber: string | number | bigint, row: {
    content_encrypted: string;
    content_nonce: string;
}): {
    content: string;
    order: Order;
};
/** Rounds up to a Padmé length (Nikitin et al., PURBs, 2019, section 4): at most 12 % more. */
export function padme(length: any): any;
export function isVersion2(contentNonce: any): any;
/**
 * "late": the writer sealed a higher number of the session before. It is an edit, or was written out of order.
 */
export type Order = "rising" | "late";
