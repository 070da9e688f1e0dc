export const LONGEST_PAGE: 500;
export class PageSize {
    /**
     * Asks for a page, and again with a quarter of the rows until it is answered. Then the pages grow again.
     *
     * @template Row
     * @param {number} most
     * @param {(limit: number) => Promise<Row[]>} ask
     */
    read<Row>(most: number, ask: (limit: number) => Promise<Row[]>): Promise<Row[]>;
    #private;
}
