// Checks the database of a stopped Supabase Lite for what no request can show.
//
//   node schema.mjs DIRECTORY        (the `dir` that lite.mjs printed; the server must have stopped)

import { readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { PGlite } from "@electric-sql/pglite";

const TABLES = [
  "devices",
  "repositories",
  "agent_coding_sessions",
  "agent_coding_session_messages",
  "agent_coding_session_secrets",
];
const database = await PGlite.create({ dataDir: join(process.argv[2], "supabase/.temp/data") });
let [passed, failed] = [0, 0];

await empty("every table has row level security", `
  select relname from unnest($1::text[]) name
  left join pg_class on relname = name and relnamespace = 'public'::regnamespace
  where relrowsecurity is not true`, [TABLES]);
await empty("every policy is for signed-in users alone", `
  select tablename, policyname from pg_policies
  where schemaname = 'public' and tablename = any($1) and roles <> '{authenticated}'`, [TABLES]);
await empty("every policy checks what is written too", `
  select tablename, policyname from pg_policies
  where schemaname = 'public' and tablename = any($1) and (qual is null or with_check is null or cmd <> 'ALL')`, [TABLES]);
await empty("every foreign key has an index that begins with its columns", `
  select conrelid::regclass::text, conname from pg_constraint c
  where contype = 'f' and conrelid = any(select ('public.' || t)::regclass from unnest($1::text[]) t)
    and not exists (select from pg_index i where i.indrelid = c.conrelid
      and (i.indkey::int2[])[0] = c.conkey[1])`, [TABLES]);

await userTakesEverythingAlong();
await database.close();
await olderTablesAreCompleted();
console.log(`${passed} passed, ${failed} failed`);
process.exitCode = failed === 0 && passed > 0 ? 0 : 1;

async function empty(what, query, parameters) {
  check(what, (await database.query(query, parameters)).rows);
}

/** Deleting an account must not be stopped by a foreign key, nor leave a row. */
async function userTakesEverythingAlong() {
  const id = crypto.randomUUID();
  const [user] = (await database.query("insert into auth.users (id) values ($1) returning id", [id])).rows;
  await database.exec(`
    insert into devices (id, user_id, name, device_type) values ('${id}', '${id}', 'd', 'desktop');
    insert into repositories (id, user_id, device_id, name, local_path) values ('${id}', '${id}', '${id}', 'r', '/r');
    insert into agent_coding_sessions (id, user_id, device_id, repository_id) values ('${id}', '${id}', '${id}', '${id}');
    insert into agent_coding_session_messages values ('${id}', 1, 'c', 'n');
    insert into agent_coding_session_secrets values ('${id}', '${id}', 'k', 's', '${id}');
    delete from auth.users where id = '${user.id}';`);
  const left = [];
  for (const table of TABLES) {
    const column = table.includes("session_") ? "session_id" : "id";
    const { rows } = await database.query(`select 1 from ${table} where ${column} = $1`, [id]);
    if (rows.length > 0) left.push(table);
  }
  check("a deleted user leaves nothing behind", left);
}

/** Tables of the same names that lack columns: the migrations must not stop at them. */
async function olderTablesAreCompleted() {
  const older = await PGlite.create();
  await older.exec(`
    create role anon; create role authenticated; create role service_role;
    create schema auth;
    create table auth.users (id uuid primary key);
    create function auth.uid() returns uuid language sql stable as 'select null::uuid';
    create table devices (id uuid primary key, label text);
    create table repositories (id uuid primary key, device_id uuid, local_path text);
    create table agent_coding_sessions (id uuid primary key);
    create table agent_coding_session_messages (session_id uuid, sequence_number bigint, primary key (session_id, sequence_number));
    create table agent_coding_session_secrets (session_id uuid, device_id uuid, primary key (session_id, device_id));
    insert into devices values (gen_random_uuid(), 'a row that is there');`);
  const migrations = fileURLToPath(new URL("../supabase/migrations/", import.meta.url));
  for (const file of readdirSync(migrations).sort()) await older.exec(readFileSync(join(migrations, file), "utf8"));
  const columns = async (database) => {
    const { rows } = await database.query(
      "select table_name || '.' || column_name as name from information_schema.columns where table_schema = 'public'");
    return rows.map((row) => row.name);
  };
  const fresh = await PGlite.create({ dataDir: join(process.argv[2], "supabase/.temp/data") });
  const completed = await columns(older);
  const missing = (await columns(fresh)).filter((name) =>
    TABLES.includes(name.split(".")[0]) && !name.endsWith(".created_at") && !completed.includes(name));
  check("older tables are given the columns that they lack", missing);
  await Promise.all([older.close(), fresh.close()]);
}

function check(what, offenders) {
  offenders.length === 0 ? passed++ : failed++;
  if (offenders.length > 0) console.error(`FAILED  ${what}: ${JSON.stringify(offenders)}`);
}
