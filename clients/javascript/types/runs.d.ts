/**
 * The first and the last change of a run.
 *
 * @typedef {[string, string]} Run
 */
/**
 * Whether a change that could be read lies between the last run and the one that is added.
 *
 * @typedef {"joins" | "apart"} Place
 */
/**
 * @param {Run[]} runs
 * @param {string} change behind all of theirs
 * @param {Place} place
 * @returns {Run[]}
 */
export function withChange(runs: Run[], change: string, place: Place): Run[];
/**
 * The runs up to a change, and those after it.
 *
 * @param {Run[]} runs
 * @param {string} change
 * @returns {[Run[], Run[]]}
 */
export function splitAt(runs: Run[], change: string): [Run[], Run[]];
/** More would make the cursor grow with the junk that somebody writes. Beyond that the nearest two become one. */
export const MOST_RUNS: 32;
/**
 * The first and the last change of a run.
 */
export type Run = [string, string];
/**
 * Whether a change that could be read lies between the last run and the one that is added.
 */
export type Place = "joins" | "apart";
