export const LONGEST_PAGE: 500;
export class PageSize {
    /**
     * Asks for a page, and again with a quarter of the rows until it is answered. Then the pages grow again. Of a row that is
     * too long even alone only the place is given, so that it does not keep back those after it.
     *
     * @template Row
     * @param {number} most
     * @param {(limit: number) => Promise<Row[]>} ask
     * @param {() => Promise<Row[]>} askFirst for the place of the first row
     * @returns {Promise<Row[]>}
     */
    read<Row>(most: number, ask: (limit: number) => Promise<Row[]>, askFirst: () => Promise<Row[]>): Promise<Row[]>;
    #private;
}
