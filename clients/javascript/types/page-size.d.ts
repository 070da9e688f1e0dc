/** @typedef {import("./server.js").MessageRow} MessageRow */
export const LONGEST_PAGE: 500;
export class PageSize {
    /**
     * Asks for a page, and again with a quarter of the rows until it is answered. Then the pages grow again. Of a row that is
     * too long even alone only the place is given, so that it does not keep back those after it.
     *
     * @param {number} most
     * @param {(limit: number) => Promise<MessageRow[]>} ask
     * @param {() => Promise<MessageRow[]>} askFirst for the place of the first row
     * @returns {Promise<MessageRow[]>}
     */
    read(most: number, ask: (limit: number) => Promise<MessageRow[]>, askFirst: () => Promise<MessageRow[]>): Promise<MessageRow[]>;
    #private;
}
export type MessageRow = import("./server.js").MessageRow;
