/**
 * Throws a LeviError unless `holds`.
 *
 * @param {unknown} holds
 * @param {string} code
 * @param {string} message
 * @param {{ group?: number }} [details]
 */
export function check(holds: unknown, code: string, message: string, details?: {
    group?: number;
}): void;
/**
 * Why Levi refuses something. `code` is a word of docs/vectors, such as "forged", for programs; the message is for
 * people. Neither holds a secret.
 */
export class LeviError extends Error {
    /**
     * @param {string} code
     * @param {string} message
     * @param {{ group?: number }} [details] `group`: the number of the group that is mistyped, from 1
     */
    constructor(code: string, message: string, details?: {
        group?: number;
    });
    code: string;
    group: number;
}
