export function concat(...parts: any[]): Uint8Array<any>;
export function toBase64(bytes: any): string;
/** Standard alphabet, padded, and nothing else: each value has one text. */
export function fromBase64(text: any): Uint8Array<ArrayBuffer>;
/** Compares in a time that does not depend on the contents. */
export function equalBytes(a: any, b: any): boolean;
export function lp(text: any): Uint8Array<any>;
export function utf8(text: any): Uint8Array<ArrayBuffer>;
export function strictText(bytes: any): string;
export function toBase64Url(bytes: any): string;
export function toHex(bytes: any): string;
export function isZero(bytes: any): any;
export function u8(number: any): Uint8Array<ArrayBuffer>;
export function u16(number: any): Uint8Array<any>;
export function u32(number: any): Uint8Array<any>;
export function u64(number: any): Uint8Array<any>;
export function i64(number: any): Uint8Array<any>;
/** Takes fields from the front of bytes, and throws `malformed` where they end too early. */
export class Reader {
    constructor(bytes: any);
    bytes(length: any): any;
    get isAtEnd(): boolean;
    u8(): number;
    u16(): number;
    u32(): number;
    /** As a number. One above 2^53 is no value of any field. */
    u64(): number;
    /** As a BigInt. */
    i64(): bigint;
    text(): string;
    base64(length: any): string;
    rest(): any;
    end(): void;
    #private;
}
