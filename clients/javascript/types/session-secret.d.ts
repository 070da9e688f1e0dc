/**
 * The 32-byte key in a session secret.
 *
 * @param {string} text
 */
export function parseSecret(text: string): Uint8Array<ArrayBuffer>;
export function newSecret(): string;
export function formatSecret(key: Uint8Array): string;
