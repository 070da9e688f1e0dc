// Checks on a PostgreSQL server that every query of the change feed is answered from an index, however many rows and users
// there are.
//
//   node plan.mjs [--rows 1000000] [--users 1000]
//
// The queries are those that PostgREST makes of what a reader asks, as a signed-in user under row level security: the page
// of the feed, the last change, the place of one change, one session's changes again, and its last messages. That the check
// can fail is shown at the end, without the index.

import { parseArgs } from "node:util";
import postgres from "postgres";
import { PROJECT, migrations } from "./migrations.mjs";
import { startPostgres } from "./postgres.mjs";

const { values: options } = parseArgs({
  options: { rows: { type: "string", default: "1000000" }, users: { type: "string", default: "1000" } },
});
const [rows, users] = [Number(options.rows), Number(options.users)];
const perUser = rows / users;
const INDEX = "agent_coding_session_messages_user_id_change_id_idx";
const KEY = "agent_coding_session_messages_pkey";
let [passed, failed] = [0, 0];

const server = await startPostgres();
const sql = postgres(server.url, { max: 1, onnotice: () => {} });
try {
  for (const text of [PROJECT, ...migrations()]) await sql.unsafe(text);
  await load();
  await check("the first page of a reader that has seen nothing", 0, Math.min(perUser, 1000));
  await check("the page of a reader that is half way", rows / 2, Math.min(perUser / 2, 1000));
  await check("nothing new", rows, 0);
  const [user, session] = [await id("user 1"), await id("1 session 0")];
  const perSession = perUser / 10;
  // Found by the session's key or the user's numbers: either way no more than the user has.
  const small = (found) => ({ found, indexes: [INDEX, KEY], most: 2 * perUser + 50 });
  await answered("the last change", `last_change('${user}')`, { found: 1, indexes: [INDEX], most: 50 });
  await answered("the place of one change", `change_place('${user}', 1)`, { found: 1, indexes: [INDEX], most: 50 });
  await answered("a session's changes again", `changes_of_session('${session}', 0, ${rows}, 1000)`, small(perSession));
  await answered("whether a session's row is there", `first_of_session('${session}', 0, ${rows})`, small(1));
  await answered("a session's last messages", `last_messages('${session}', ${rows}, 16)`, small(Math.min(perSession, 16)));
  await sql.unsafe(`drop index ${INDEX}`);
  const { scanned } = await explain(`feed('${user}', ${rows}, 1000)`);
  report("without the index the check fails", scanned.length !== 1 || scanned[0] !== INDEX, scanned);
} finally {
  await sql.end();
  await server.stop();
}
console.log(`${passed} passed, ${failed} failed`);
process.exitCode = failed === 0 && passed > 0 ? 0 : 1;

/** The plan of a page uses the index and nothing else of the table, and reads no more than the page and what leads to it. */
async function check(what, after, found) {
  const statement = `feed('${await id("user 1")}', ${after}, 1000)`;
  await answered(what, statement, { found, indexes: [INDEX], most: 3 * found + 50 });
}

/** A statement finds so many rows by these indexes, perhaps by two at once, and reads at most so many buffers. */
async function answered(what, statement, { found: expected, indexes, most }) {
  for (const mode of ["force_custom_plan", "force_generic_plan"]) {
    await sql.unsafe(`set plan_cache_mode = ${mode}`);
    const { found, scanned, buffers, ms } = await explain(statement);
    const sound = found === expected && buffers <= most && scanned.length > 0 && scanned.every((index) => indexes.includes(index));
    report(`${what} (${mode}): ${found} rows, ${buffers} buffers, ${ms.toFixed(2)} ms`, sound, scanned);
  }
}

async function explain(statement) {
  const user = await id("user 1");
  await sql.unsafe(`set role authenticated; select set_config('request.jwt.claim.sub', '${user}', false)`);
  const [{ "QUERY PLAN": [{ Plan: plan, "Execution Time": ms }] }] = await sql.unsafe(`
    explain (analyze, buffers, format json) execute ${statement}`);
  await sql.unsafe("reset role");
  return { found: plan["Actual Rows"], scanned: scans(plan), buffers: plan["Shared Hit Blocks"] + plan["Shared Read Blocks"], ms };
}

/** How a plan gets at the messages: the names of indexes, or the kind of a scan without one. */
function scans(plan) {
  const here = [];
  if (plan["Index Name"] !== undefined && plan["Index Name"].startsWith("agent_coding_session_messages")) here.push(plan["Index Name"]);
  if (plan["Node Type"] === "Seq Scan" && plan["Relation Name"] === "agent_coding_session_messages") here.push("Seq Scan");
  return [...here, ...(plan.Plans ?? []).flatMap(scans)];
}

/** Each user writes by turns, in ten sessions. Without triggers and foreign keys, which would take most of the time. */
async function load() {
  await sql.unsafe(`
    set session_replication_role = replica;
    insert into auth.users select md5('user ' || u)::uuid from generate_series(1, ${users}) u;
    insert into agent_coding_sessions (id, user_id, device_id, repository_id)
      select md5(u || ' session ' || s)::uuid, md5('user ' || u)::uuid, md5('user ' || u)::uuid, md5('user ' || u)::uuid
      from generate_series(1, ${users}) u, generate_series(0, 9) s;
    insert into agent_coding_session_messages (session_id, sequence_number, content_encrypted, content_nonce, user_id, change_id)
      select md5((n - 1) % ${users} + 1 || ' session ' || (n - 1) / ${users} % 10)::uuid, n, repeat('x', 100), 'n',
        md5('user ' || (n - 1) % ${users} + 1)::uuid, n
      from generate_series(1, ${rows}) n;
    set session_replication_role = origin;
    analyze;
    prepare feed (uuid, bigint, int) as
      select session_id, sequence_number, content_encrypted, content_nonce, change_id from agent_coding_session_messages
      where user_id = $1 and change_id > $2 order by change_id limit $3;
    prepare last_change (uuid) as
      select change_id from agent_coding_session_messages where user_id = $1 order by change_id desc limit 1;
    prepare change_place (uuid, bigint) as
      select session_id, sequence_number from agent_coding_session_messages where user_id = $1 and change_id = $2;
    prepare changes_of_session (uuid, bigint, bigint, int) as
      select session_id, sequence_number, content_encrypted, content_nonce, change_id from agent_coding_session_messages
      where session_id = $1 and change_id > $2 and change_id <= $3 order by change_id limit $4;
    prepare first_of_session (uuid, bigint, bigint) as
      select change_id from agent_coding_session_messages
      where session_id = $1 and change_id > $2 and change_id <= $3 order by change_id limit 1;
    prepare last_messages (uuid, bigint, int) as
      select sequence_number, content_encrypted, content_nonce from agent_coding_session_messages
      where session_id = $1 and change_id <= $2 order by sequence_number desc limit $3`);
}

/** The id that `load` gave. */
async function id(name) {
  const [{ id }] = await sql.unsafe(`select md5('${name}')::uuid id`);
  return id;
}

function report(what, sound, details) {
  sound ? passed++ : failed++;
  if (sound) console.log(`ok  ${what}`);
  else console.error(`FAILED  ${what}: ${JSON.stringify(details)}`);
}
