// How many rows to ask for. A page that the server cannot answer is asked for once more with fewer rows, because a few
// messages of a megabyte fill what a proxy, or the server's time for one statement, allows.

export const LONGEST_PAGE = 500;

/** The statement took too long; the answer was too large; a gateway gave up. */
const TOO_MUCH = new Set([408, 413, 504, 522, 524]);
const STATEMENT_TIMEOUT = "57014";

export class PageSize {
  #rows = LONGEST_PAGE;

  /**
   * Asks for a page, and again with a quarter of the rows until it is answered. Then the pages grow again.
   *
   * @template Row
   * @param {number} most
   * @param {(limit: number) => Promise<Row[]>} ask
   */
  async read(most, ask) {
    for (;;) {
      const limit = Math.min(this.#rows, most);
      try {
        const page = await ask(limit);
        this.#rows = Math.min(this.#rows * 2, LONGEST_PAGE);
        return page;
      } catch (error) {
        const { code, status } = /** @type {{ code?: string, status?: number }} */ (error);
        const isTooMuch = code === STATEMENT_TIMEOUT || TOO_MUCH.has(status);
        const wasCut = !status;
        if (isTooMuch || wasCut) this.#rows = Math.max(Math.floor(limit / 4), 1);
        // An answer that broke off looks as no network does: that is for the next poll.
        if (!isTooMuch || limit === 1) throw error;
      }
    }
  }
}
