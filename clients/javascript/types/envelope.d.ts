/**
 * The bytes of an X25519 public key, such as the column `devices.public_key`.
 *
 * @param {string} text
 */
export function parseDeviceKey(text: string): Uint8Array<ArrayBuffer>;
/**
 * @param {string} secret
 * @param {EnvelopeIds} ids
 * @param {string} senderPrivateKey
 * @param {string} recipientPublicKey
 */
export function sealEnvelope(secret: string, ids: EnvelopeIds, senderPrivateKey: string, recipientPublicKey: string): Promise<{
    ephemeral_public_key: string;
    encrypted_secret: string;
}>;
/**
 * The session secret in an envelope.
 *
 * @param {{ ephemeral_public_key: string, encrypted_secret: string }} row
 * @param {EnvelopeIds} ids
 * @param {string} senderPublicKey
 * @param {string} recipientPrivateKey
 */
export function openEnvelope(row: {
    ephemeral_public_key: string;
    encrypted_secret: string;
}, ids: EnvelopeIds, senderPublicKey: string, recipientPrivateKey: string): Promise<string>;
export function deviceKeyOf(privateKey: string): Promise<string>;
/**
 * who, for which session, from which device, to which: it opens under these four only
 */
export type EnvelopeIds = {
    userId: string;
    sessionId: string;
    senderDeviceId: string;
    recipientDeviceId: string;
};
