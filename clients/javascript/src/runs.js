// The changes of a session that could not be read, as runs: between the first and the last change of a run is no change of
// the session that could be read, unless there are too many runs.

/** More would make the cursor grow with the junk that somebody writes. Beyond that the nearest two become one. */
export const MOST_RUNS = 32;

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
export function withChange(runs, change, place) {
  const last = runs.at(-1);
  if (last && place === "joins") return [...runs.slice(0, -1), [last[0], change]];
  return limited([...runs, [change, change]]);
}

function limited(runs) {
  if (runs.length <= MOST_RUNS) return runs;
  const gap = (at) => BigInt(runs[at + 1][0]) - BigInt(runs[at][1]);
  let nearest = 0;
  for (let at = 1; at + 1 < runs.length; at++) if (gap(at) < gap(nearest)) nearest = at;
  const merged = /** @type {Run} */ ([runs[nearest][0], runs[nearest + 1][1]]);
  return limited([...runs.slice(0, nearest), merged, ...runs.slice(nearest + 2)]);
}

/**
 * The runs up to a change, and those after it.
 *
 * @param {Run[]} runs
 * @param {string} change
 * @returns {[Run[], Run[]]}
 */
export function splitAt(runs, change) {
  const at = BigInt(change);
  const isBefore = (run) => BigInt(run[1]) <= at;
  const isAfter = (run) => BigInt(run[0]) > at;
  const cut = runs.find((run) => !isBefore(run) && !isAfter(run));
  const before = runs.filter(isBefore);
  const after = runs.filter(isAfter);
  if (!cut) return [before, after];
  return [[...before, [cut[0], change]], [[String(at + 1n), cut[1]], ...after]];
}
