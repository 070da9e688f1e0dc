// Checks on a PostgreSQL server, over connections of its own, that the change feed skips nothing whatever commits first.
//
//   node concurrency.mjs
//
// Each case holds one transaction open while another one writes. That the cases can fail is shown by running two of them
// once more without the locks.

import postgres from "postgres";
import { PROJECT, migrations } from "./migrations.mjs";
import { startPostgres } from "./postgres.mjs";

const [ANNA, BERT] = ["a", "b"].map((digit) => `${digit.repeat(8)}-0000-4000-8000-000000000000`);
let [passed, failed] = [0, 0];
/** Sequence numbers and texts that no case has used yet. */
let unique = 0;

const server = await startPostgres();
const sql = postgres(server.url, { max: 8, onnotice: () => {} });
try {
  for (const text of [PROJECT, ...migrations(), ...[ANNA, BERT].map(parents)]) await sql.unsafe(text);
  report("a second writer of the same user waits, and nothing is skipped", await nothingSkipped(ANNA));
  report("service_role waits for the user whose rows it writes", await nothingSkipped(null));
  report("another user does not wait", await othersGoOn());
  report("a statement waits before it locks a row, so two writers do not wait for each other", await noDeadlock());
  await withoutLock("levi_before_messages");
  report("without the statement's lock two writers wait for each other", !(await noDeadlock()));
  await withoutLock("levi_before_message");
  report("without any lock a row is skipped", !(await nothingSkipped(ANNA)));
} finally {
  await sql.end();
  await server.stop();
}
console.log(`${passed} passed, ${failed} failed`);
process.exitCode = failed === 0 && passed > 0 ? 0 : 1;

/**
 * The first writer has its number and has not committed; `second` (null: service_role) writes meanwhile, a reader polls
 * by its cursor before and after the commit, and must have seen both rows.
 */
async function nothingSkipped(second) {
  const start = await cursor();
  const seen = [];
  const poll = async () => {
    const after = seen.length > 0 ? seen.at(-1) : start;
    const rows = await sql`
      select change_id from agent_coding_session_messages where user_id = ${ANNA} and change_id > ${after} order by change_id`;
    seen.push(...rows.map((row) => row.change_id));
  };
  const [first, other] = [await open(ANNA), await open(second)];
  await write(first, ANNA, number());
  const writing = write(other, ANNA, number()).then(() => other.commit());
  await settled(writing);
  await poll();
  await first.commit();
  await writing;
  await poll();
  return seen.length === 2 && BigInt(seen[0]) < BigInt(seen[1]);
}

async function othersGoOn() {
  const [anna, bert] = [await open(ANNA), await open(BERT)];
  await write(anna, ANNA, number());
  const writing = write(bert, BERT, number()).then(() => bert.commit());
  const went = await settled(writing);
  await anna.commit();
  await writing;
  return went;
}

/** The second transaction wants a row that the first one writes later. */
async function noDeadlock() {
  const later = number();
  const before = await open(ANNA);
  await write(before, ANNA, later);
  await before.commit();
  const [first, second] = [await open(ANNA), await open(ANNA)];
  await write(first, ANNA, number());
  const editing = succeeds(edited(second, later));
  await settled(editing);
  const went = await succeeds(edited(first, later));
  await first.commit();
  const edit = await editing;
  await second.commit();
  return went && edit;
}

function succeeds(query) {
  return query.then(() => true, () => false);
}

/** Whether the promise ends by itself, that is before PostgreSQL has its connection wait for a lock. */
async function settled(promise) {
  let over = false;
  promise.then(() => (over = true), () => (over = true));
  for (;;) {
    const waiting = await sql`select 1 from pg_stat_activity where wait_event_type = 'Lock'`;
    if (over || waiting.length > 0) return over;
    await new Promise((next) => setTimeout(next, 5));
  }
}

/** An open transaction of a signed-in user, or of service_role. */
async function open(user) {
  const connection = await sql.reserve();
  await connection.unsafe(user === null
    ? "begin; set local role service_role; set local request.jwt.claim.sub = ''"
    : `begin; set local role authenticated; set local request.jwt.claim.sub = '${user}'`);
  const over = (word) => async () => {
    await connection.unsafe(word);
    connection.release();
  };
  return { sql: connection, commit: over("commit") };
}

function number() {
  return unique++;
}

function write({ sql }, user, number) {
  return sql`insert into agent_coding_session_messages (session_id, sequence_number, content_encrypted, content_nonce)
    values (${user}, ${number}, 'c', 'n')`;
}

function edited({ sql }, number) {
  return sql`update agent_coding_session_messages set content_encrypted = ${`edit ${unique++}`}
    where session_id = ${ANNA} and sequence_number = ${number}`;
}

async function cursor() {
  const [{ last }] = await sql`select coalesce(max(change_id), 0) last from agent_coding_session_messages where user_id = ${ANNA}`;
  return last;
}

function parents(id) {
  return `
    insert into auth.users values ('${id}');
    insert into devices (id, user_id, name, device_type) values ('${id}', '${id}', 'd', 'desktop');
    insert into repositories (id, user_id, device_id, name, local_path) values ('${id}', '${id}', '${id}', 'r', '/r');
    insert into agent_coding_sessions (id, user_id, device_id, repository_id) values ('${id}', '${id}', '${id}', '${id}');`;
}

/** Takes the lock out of a trigger function. */
async function withoutLock(name) {
  const [{ source }] = await sql`select pg_get_functiondef(${name}::regproc) source`;
  const without = source.replace(/perform pg_catalog\.pg_advisory_xact_lock\([^;]*;/, "");
  if (without === source) throw new Error(`${name} takes no lock`);
  await sql.unsafe(without);
}

function report(what, sound) {
  sound ? passed++ : failed++;
  if (sound) console.log(`ok  ${what}`);
  else console.error(`FAILED  ${what}`);
}
