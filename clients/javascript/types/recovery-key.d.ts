/** @param {Uint8Array} key */
export function formatRecoveryKey(key: Uint8Array): string;
/**
 * The 32 bytes that a person typed. The error names the group that is wrong, where that can be known.
 *
 * @param {string} text
 */
export function parseRecoveryKey(text: string): Uint8Array<ArrayBuffer>;
/**
 * The three keys of the recovery member.
 *
 * @param {Uint8Array} key
 * @returns {Promise<import("./keys.js").MemberKeys>}
 */
export function recoveryKeys(key: Uint8Array): Promise<import("./keys.js").MemberKeys>;
