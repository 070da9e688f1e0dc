/**
 * @param {Uint8Array} key of the session's secret
 * @param {string} sessionId
 * @param {string | number | bigint} sequenceNumber
 * @param {string} content
 */
export function sealMessage(key: Uint8Array, sessionId: string, sequenceNumber: string | number | bigint, content: string, nonce?: Uint8Array<any>): {
    content_encrypted: string;
    content_nonce: string;
};
/**
 * @param {Uint8Array} key of the session's secret
 * @param {string} sessionId
 * @param {string | number | bigint} sequenceNumber as text where it may be above 2^53
 * @param {{ content_encrypted: string, content_nonce: string }} row
 */
export function openMessage(key: Uint8Array, sessionId: string, sequenceNumber: string | number | bigint, row: {
    content_encrypted: string;
    content_nonce: string;
}): string;
/** The nonce of a row of either version. */
export function messageNonce(text: any): Uint8Array<ArrayBuffer>;
/** The content of a row of either version. */
export function contentText(bytes: any): string;
