/**
 * supabase-js returns errors; here they are thrown, with `retryAfterMs` where the server said how long to wait. Nothing is
 * tried again here, because who asks knows better when.
 */
export function rows(query: any): Promise<any>;
/** As `rows`, of queries that name the columns of the change feed. */
export function feedRows(query: any): Promise<any>;
/** Only an empty page is the end, because the server may return fewer rows than it was asked for. */
export function allPages(page: any, start: any, keyOf: any): Promise<any[]>;
/** The keys of a page rise, lie past the cursor and are at most `limit`. */
export function checkPage(page: any, key: any, after: any, limit: any): void;
export function fromStart(page: any): (after: any) => any;
