/** In groups of four with hyphens between them. */
export function grouped(symbols: any): string;
/**
 * The symbols that a person typed. Case does not matter, O is 0, I and L are 1. Spaces and hyphens between groups may
 * be left out.
 */
export function parseSymbols(text: any, length: any): any;
export const GROUP: 4;
export function symbolsOf(bytes: any): number[];
export function bytesOf(symbols: any): Uint8Array<ArrayBuffer>;
