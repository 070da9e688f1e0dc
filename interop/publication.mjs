// Checks on a PostgreSQL server that the migrations publish the table of messages for Supabase Realtime where there is a
// publication, and that a written message then leaves through logical replication, which is what Realtime reads.
//
//   node publication.mjs

import postgres from "postgres";
import { PROJECT, migrations } from "./migrations.mjs";
import { startPostgres } from "./postgres.mjs";

const USER = "a".repeat(8) + "-0000-4000-8000-000000000000";
const PARENTS = `
  insert into auth.users values ('${USER}');
  insert into devices (id, user_id, name, device_type) values ('${USER}', '${USER}', 'd', 'desktop');
  insert into repositories (id, user_id, device_id, name, local_path) values ('${USER}', '${USER}', '${USER}', 'r', '/r');
  insert into agent_coding_sessions (id, user_id, device_id, repository_id) values ('${USER}', '${USER}', '${USER}', '${USER}');`;
const CASES = {
  "without a publication nothing is published, and nothing fails": { before: "", tables: [], events: 0 },
  "the publication of a project gets the table, once": {
    before: "create publication supabase_realtime",
    tables: ["agent_coding_session_messages"],
    events: 1,
  },
  "a publication of all tables has it already": {
    before: "create publication supabase_realtime for all tables",
    tables: undefined,
    events: 1,
  },
};
let [passed, failed] = [0, 0];

const server = await startPostgres();
try {
  for (const [what, { before, tables, events }] of Object.entries(CASES)) {
    await isolated(async (sql) => {
      // Roles belong to the whole server, and the first case has made them.
      const project = passed + failed === 0 ? PROJECT : PROJECT.replace(/create role [^;]*;/g, "");
      for (const text of [project, before, ...migrations(), ...migrations(), PARENTS]) await sql.unsafe(text);
      const found = (await sql`
        select tablename from pg_publication_tables where pubname = 'supabase_realtime' and tablename like 'agent%messages'`);
      const wanted = tables ?? ["agent_coding_session_messages"];
      const same = JSON.stringify(found.map(({ tablename }) => tablename)) === JSON.stringify(wanted);
      report(what, same && (await replicated(sql, events > 0)) === events);
    });
  }
} finally {
  await server.stop();
}
console.log(`${passed} passed, ${failed} failed`);
process.exitCode = failed === 0 && passed > 0 ? 0 : 1;

/** A database of its own. */
async function isolated(check) {
  const name = `case_${passed + failed}`;
  const admin = postgres(server.url, { max: 1, onnotice: () => {} });
  await admin.unsafe(`create database ${name}`);
  await admin.end();
  const url = new URL(server.url);
  url.pathname = `/${name}`;
  const sql = postgres(url.href, { max: 1, onnotice: () => {} });
  try {
    await check(sql);
  } finally {
    await sql.end();
  }
}

/** How many inserts leave through the publication. */
async function replicated(sql, isPublished) {
  if (!isPublished) return 0;
  await sql`select pg_create_logical_replication_slot('levi', 'pgoutput')`;
  await sql`insert into agent_coding_session_messages (session_id, sequence_number, content_encrypted, content_nonce)
            values (${USER}, 1, 'c', 'n')`;
  const changes = await sql`
    select data from pg_logical_slot_get_binary_changes(
      'levi', null, null, 'proto_version', '1', 'publication_names', 'supabase_realtime')`;
  await sql`select pg_drop_replication_slot('levi')`;
  return changes.filter(({ data }) => String.fromCharCode(data[0]) === "I").length;
}

function report(what, ok) {
  ok ? passed++ : failed++;
  console[ok ? "log" : "error"](`${ok ? "ok" : "FAILED"}  ${what}`);
}
