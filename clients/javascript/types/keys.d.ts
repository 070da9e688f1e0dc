/**
 * @param {MemberKeys} keys
 * @returns {Promise<PublicKeys>}
 */
export function publicKeysOf(keys: MemberKeys): Promise<PublicKeys>;
/** Refuses keys that no honest member has. Then sealing to them cannot fail. */
export function checkPublicKeys({ signing, envelope, keyring }: {
    signing: any;
    envelope: any;
    keyring: any;
}): void;
export const XWING_PUBLIC_KEY_BYTES: 1216;
export function newKeys(): MemberKeys;
export function haveKeyInCommon(a: any, b: any): boolean;
/**
 * private keys, to be kept where no other program reads them
 */
export type MemberKeys = {
    /**
     * Ed25519 seed
     */
    signing: string;
    /**
     * X25519 private key
     */
    envelope: string;
    /**
     * X-Wing seed
     */
    keyring: string;
};
export type PublicKeys = {
    signing: string;
    envelope: string;
    keyring: string;
};
