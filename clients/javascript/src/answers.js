// What an answer of the server must be, and which error is thrown where it is not.

import { LeviError, check } from "./error.js";

const MISSING_COLUMN = "42703";

/**
 * supabase-js returns errors; here they are thrown, with `retryAfterMs` where the server said how long to wait. Nothing is
 * tried again here, because who asks knows better when.
 */
export async function rows(query) {
  /** @type {Response | undefined} */
  let answer = undefined;
  const ask = query.fetch;
  // supabase-js does not give the headers of an answer, and takes some with the status 404 for good ones.
  query.fetch = async (...request) => (answer = await ask(...request));
  const { data, error } = await query.retry(false);
  if (!error && answer?.ok) return data;
  // An answer that was cut, or is no JSON, has a good status all the same.
  const status = error && answer?.ok ? 0 : (answer?.status ?? 0);
  const details = { code: error?.code, status, retryAfterMs: waitOf(answer?.headers.get("retry-after")) };
  throw Object.assign(new Error(error?.message ?? `the server answers with ${status}`), details);
}

/** @param {any} error */
const codeOf = (error) => error.code;

/** As `rows`, of queries that name the columns of the change feed. */
export async function feedRows(query) {
  try {
    const found = await rows(query);
    check(Array.isArray(found), "bad-page", "the server's answer is not a page");
    return found;
  } catch (error) {
    if (codeOf(error) !== MISSING_COLUMN) throw error;
    const mend = "apply the migration 20260102000000_change_feed.sql, as in docs/supabase.md";
    throw new LeviError("no-change-feed", `the project's table of messages has no change feed; ${mend}`);
  }
}

/** Seconds, or a date. */
function waitOf(header) {
  if (!header) return undefined;
  const ms = /^\d+$/.test(header) ? Number(header) * 1_000 : Date.parse(header) - Date.now();
  return Number.isFinite(ms) ? Math.max(ms, 0) : undefined;
}

/** Only an empty page is the end, because the server may return fewer rows than it was asked for. */
export async function allPages(page, start, keyOf) {
  const all = [];
  for (let after = start; ; after = keyOf(all.at(-1))) {
    const more = await rows(page(after));
    if (more.length === 0) return all;
    all.push(...more);
    check(all.at(-1 - more.length) === undefined || keyOf(all.at(-1)) > after, "bad-page", "the server repeats itself");
  }
}

/** Pages by an id, which nothing is before. */
export const fromStart = (page) => (after) =>
  page((query, column) => (after === undefined ? query : query.gt(column, after)));

/** 64 bits, as text. */
const isNumber = (text) => typeof text === "string" && /^-?\d{1,19}$/.test(text) && BigInt.asIntN(64, BigInt(text)) === BigInt(text);

/** The keys of a page rise, lie past the cursor and are at most `limit`. */
export function checkPage(page, key, after, limit) {
  let last = BigInt(after);
  const rises = page.every((row) => {
    if (![row[key], row.number].every(isNumber) || typeof row.session_id !== "string") return false;
    const number = BigInt(row[key]);
    const higher = number > last;
    last = number;
    return higher;
  });
  if (!rises || page.length > limit) throw new LeviError("bad-page", "the server's page is not what was asked for");
}
