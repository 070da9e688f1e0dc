// Checks on a PostgreSQL server that the change feed is read from its index, however many rows and users there are.
//
//   node plan.mjs [--rows 1000000] [--users 1000]
//
// The queries are those that PostgREST makes of `user_id=eq.U&change_id=gt.C&order=change_id&limit=N` and of the other
// questions of a reader, as a signed-in user under row level security. That the check can fail is shown at the end, without
// the index.

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
/** The sessions of a user, who writes in them by turns. */
const SESSIONS = 10;
const inSession = perUser / SESSIONS;
let [passed, failed] = [0, 0];

const server = await startPostgres();
const sql = postgres(server.url, { max: 1, onnotice: () => {} });
try {
  for (const text of [PROJECT, ...migrations()]) await sql.unsafe(text);
  await load();
  const [user, session] = [await idOf("user 1"), await idOf("1 session 0")];
  const feed = (after) => `feed('${user}', ${after}, 1000)`;
  const page = (found) => ({ found, mostRead: found, indexes: [INDEX] });
  await check("the first page of a reader that has seen nothing", feed(0), page(Math.min(perUser, 1000)));
  await check("the page of a reader that is half way", feed(rows / 2), page(Math.min(perUser / 2, 1000)));
  await check("nothing new", feed(rows), page(0));
  const unlock = `unlock('${user}', '${session}', 0, ${rows}, 1000)`;
  await check("what could not be read of a session", unlock, { found: inSession, mostRead: perUser });
  const again = (limit) => `again('${session}', 0, ${rows}, ${limit})`;
  await check("what could not be read of a session, without the user's id", again(1000), { found: inSession, mostRead: perUser });
  await check("whether a row of a session is there", again(1), { found: 1, mostRead: perUser });
  await check("the last messages of a session", `recall('${session}', ${rows}, 16)`, { found: Math.min(inSession, 16), mostRead: perUser });
  await check("the last change", `last_change('${user}')`, page(1));
  await check("the place of one change", `change_place('${user}', 1)`, page(1));
  await check("the last places of a user", `last_places('${user}', ${rows}, 1000)`, page(Math.min(perUser, 1000)));
  const start = `start_of_epoch('${session}', 'v2:2:%', 500)`;
  // The planner may look at the user's numbers beside the session's.
  await check("where an epoch begins in a session", start, { found: 0, mostRead: perUser });
  await sql.unsafe(`drop index ${INDEX}`);
  const { scanned } = await explain(feed(rows), user);
  report("without the index the check fails", scanned.length !== 1 || scanned[0] !== INDEX, scanned);
} finally {
  await sql.end();
  await server.stop();
}
console.log(`${passed} passed, ${failed} failed`);
process.exitCode = failed === 0 && passed > 0 ? 0 : 1;

/** The plan gets at the messages by these indexes, or else by any, and reads no more rows than it may. */
async function check(what, query, { found, mostRead, indexes }) {
  const user = await idOf("user 1");
  for (const mode of ["force_custom_plan", "force_generic_plan"]) {
    await sql.unsafe(`set plan_cache_mode = ${mode}`);
    const plan = await explain(query, user);
    const byIndex = indexes ? plan.scanned.join() === indexes.join() : plan.scanned.length > 0 && !plan.scanned.includes("Seq Scan");
    const sound = plan.found === found && byIndex && plan.buffers <= 3 * mostRead + 50;
    report(`${what} (${mode}): ${plan.found} rows, ${plan.buffers} buffers, ${plan.ms.toFixed(2)} ms`, sound, plan.scanned);
  }
}

async function explain(query, user) {
  await sql.unsafe(`set role authenticated; select set_config('request.jwt.claim.sub', '${user}', false)`);
  const [{ "QUERY PLAN": [{ Plan: plan, "Execution Time": ms }] }] = await sql.unsafe(`
    explain (analyze, buffers, format json) execute ${query}`);
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

/** Each user writes by turns, in each of the sessions by turns. Without triggers and foreign keys, which would take most of the time. */
async function load() {
  await sql.unsafe(`
    set session_replication_role = replica;
    insert into auth.users select md5('user ' || u)::uuid from generate_series(1, ${users}) u;
    insert into agent_coding_sessions (id, user_id, device_id, repository_id)
      select md5(u || ' session ' || s)::uuid, md5('user ' || u)::uuid, md5('user ' || u)::uuid, md5('user ' || u)::uuid
      from generate_series(1, ${users}) u, generate_series(0, ${SESSIONS - 1}) s;
    insert into agent_coding_session_messages (session_id, sequence_number, content_encrypted, content_nonce, user_id, change_id)
      select md5((n - 1) % ${users} + 1 || ' session ' || (n - 1) / ${users} % ${SESSIONS})::uuid, n, repeat('x', 100), 'n',
        md5('user ' || (n - 1) % ${users} + 1)::uuid, n
      from generate_series(1, ${rows}) n;
    set session_replication_role = origin;
    analyze;
    prepare feed (uuid, bigint, int) as
      select session_id, sequence_number, content_encrypted, content_nonce, change_id from agent_coding_session_messages
      where user_id = $1 and change_id > $2 order by change_id limit $3;
    prepare unlock (uuid, uuid, bigint, bigint, int) as
      select session_id, sequence_number, content_encrypted, content_nonce, change_id from agent_coding_session_messages
      where user_id = $1 and session_id = $2 and change_id > $3 and change_id <= $4 order by change_id limit $5;
    prepare again (uuid, bigint, bigint, int) as
      select session_id, sequence_number, content_encrypted, content_nonce, change_id from agent_coding_session_messages
      where session_id = $1 and change_id > $2 and change_id <= $3 order by change_id limit $4;
    prepare recall (uuid, bigint, int) as
      select sequence_number, content_encrypted, content_nonce from agent_coding_session_messages
      where session_id = $1 and change_id <= $2 order by sequence_number desc limit $3;
    prepare last_change (uuid) as
      select change_id from agent_coding_session_messages where user_id = $1 order by change_id desc limit 1;
    prepare change_place (uuid, bigint) as
      select session_id, sequence_number from agent_coding_session_messages where user_id = $1 and change_id = $2;
    prepare last_places (uuid, bigint, int) as
      select session_id, sequence_number, change_id from agent_coding_session_messages
      where user_id = $1 and change_id <= $2 order by change_id desc limit $3;
    prepare start_of_epoch (uuid, text, int) as
      select session_id, sequence_number, content_encrypted, content_nonce from agent_coding_session_messages
      where session_id = $1 and sequence_number > -1 and content_nonce like $2 order by sequence_number limit $3`);
}

async function idOf(text) {
  const [{ id }] = await sql.unsafe(`select md5('${text}')::uuid id`);
  return id;
}

function report(what, sound, details) {
  sound ? passed++ : failed++;
  if (sound) console.log(`ok  ${what}`);
  else console.error(`FAILED  ${what}: ${JSON.stringify(details)}`);
}
