// Checks the database of a stopped Supabase Lite for what no request can show.
//
//   node schema.mjs DIRECTORY        (the `dir` that lite.mjs printed; the server must have stopped)

import { join } from "node:path";
import { PGlite } from "@electric-sql/pglite";
import { PROJECT, migrations } from "./migrations.mjs";

const TABLES = [
  "devices",
  "repositories",
  "agent_coding_sessions",
  "agent_coding_session_messages",
  "agent_coding_session_secrets",
  "levi_device_list",
  "levi_keyrings",
  "levi_pairings",
];
/** Where `authenticated` may do less than everything. */
const COMMANDS = { levi_device_list: ["INSERT", "SELECT"], levi_keyrings: ["INSERT", "SELECT", "UPDATE"] };
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
  where schemaname = 'public' and tablename = any($1)
    and (qual is null and cmd <> 'INSERT' or with_check is null and cmd <> 'SELECT')`, [TABLES]);
for (const table of TABLES) {
  const { rows } = await database.query(
    "select cmd from pg_policies where schemaname = 'public' and tablename = $1 order by cmd", [table]);
  const expected = COMMANDS[table] ?? ["ALL"];
  check(`${table} has policies for ${expected}, and for nothing else`, differences(rows.map(({ cmd }) => cmd), expected));
}
await empty("an index begins with what the change feed is read by", `
  select 1 where not exists (select from pg_indexes where tablename = 'agent_coding_session_messages'
    and indexdef like '%(user_id, change_id)')`);
await empty("a message always has an owner and a number", `
  select column_name from information_schema.columns where table_name = 'agent_coding_session_messages'
    and column_name in ('user_id', 'change_id') and is_nullable <> 'NO'`);
await empty("the triggers' functions look names up nowhere but where they are told", `
  select proname from pg_proc where pronamespace = 'public'::regnamespace and proname like 'levi%'
    and not coalesce(proconfig @> '{"search_path=\\"\\""}', false)`);
await empty("what a text column may hold has a bound", `
  select c.conname from (values
    ('devices', 'public_key'), ('agent_coding_session_messages', 'content_encrypted'),
    ('agent_coding_session_messages', 'content_nonce'), ('agent_coding_session_secrets', 'ephemeral_public_key'),
    ('agent_coding_session_secrets', 'encrypted_secret'), ('levi_device_list', 'entry'), ('levi_device_list', 'signature'),
    ('levi_device_list', 'cosignature'), ('levi_keyrings', 'enc'), ('levi_keyrings', 'sealed'), ('levi_pairings', 'id'),
    ('levi_pairings', 'request'), ('levi_pairings', 'answer'), ('levi_pairings', 'cosignature')) wanted (t, col)
  left join pg_constraint c on c.contype = 'c' and c.conrelid = ('public.' || t)::regclass
    and pg_get_constraintdef(c.oid) like '%octet_length(' || col || ')%'
  where c.oid is null`);
await empty("every foreign key has an index that begins with its columns", `
  select conrelid::regclass::text, conname from pg_constraint c
  where contype = 'f' and conrelid = any(select ('public.' || t)::regclass from unnest($1::text[]) t)
    and not exists (select from pg_index i where i.indrelid = c.conrelid
      and (i.indkey::int2[])[0] = c.conkey[1])`, [TABLES]);

await userTakesEverythingAlong();
await database.close();
await olderTablesAreCompleted();
await grantsOfAHostedProjectAreTakenBack();
await olderMessagesAreNumbered();
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
    insert into levi_device_list values ('${id}', 0, 'e', 's');
    insert into levi_keyrings values ('${id}', '${id}', 1, 'e', 's');
    insert into levi_pairings values ('${id}', 'i', 'r');
    delete from auth.users where id = '${user.id}';`);
  const left = [];
  for (const table of TABLES) {
    const column = table.includes("session_") ? "session_id" : table.startsWith("levi_") ? "user_id" : "id";
    const { rows } = await database.query(`select 1 from ${table} where ${column} = $1`, [id]);
    if (rows.length > 0) left.push(table);
  }
  check("a deleted user leaves nothing behind", left);
}

/**
 * Hosted projects grant everything on a new table; Lite does so again at each start, so its own database says nothing
 * of the migrations here.
 */
async function grantsOfAHostedProjectAreTakenBack() {
  const hosted = await blank();
  await hosted.exec("alter default privileges in schema public grant all on tables to anon, authenticated");
  await migrate(hosted);
  const { rows } = await hosted.query(`
    select grantee, table_name, privilege_type from information_schema.role_table_grants
    where grantee = 'anon' and table_name = any($1) or grantee = 'authenticated' and (
      table_name = 'levi_device_list' and privilege_type not in ('SELECT', 'INSERT')
      or table_name = 'levi_keyrings' and privilege_type not in ('SELECT', 'INSERT', 'UPDATE')
      or privilege_type not in ('SELECT', 'INSERT', 'UPDATE', 'DELETE') and table_name = any($1))`, [TABLES]);
  check("nobody signed in may do what no policy is for", rows);
  await hosted.close();
}

/** Tables of the same names that lack columns: the migrations must not stop at them. */
async function olderTablesAreCompleted() {
  const older = await blank();
  await older.exec(`
    create table devices (id uuid primary key, label text);
    create table repositories (id uuid primary key, device_id uuid, local_path text);
    create table agent_coding_sessions (id uuid primary key);
    create table agent_coding_session_messages (session_id uuid, sequence_number bigint, primary key (session_id, sequence_number));
    create table agent_coding_session_secrets (session_id uuid, device_id uuid, primary key (session_id, device_id));
    insert into devices values (gen_random_uuid(), 'a row that is there');`);
  await migrate(older);
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

/**
 * Messages from before the change feed: each gets its session's owner and a number, in the order of the session. A row
 * without a session belongs to nobody and stops nothing. Running the migrations again numbers nothing anew.
 */
async function olderMessagesAreNumbered() {
  const older = await blank();
  await older.exec("create publication supabase_realtime");
  await migrate(older, (file) => file.endsWith("_levi.sql"));
  const [id, other, lost] = ["1", "2", "3"].map((digit) => `${digit.repeat(8)}-1111-4111-8111-111111111111`);
  await older.exec(`
    alter table agent_coding_session_messages drop constraint agent_coding_session_messages_session_id_fkey;
    insert into agent_coding_session_messages values ('${lost}', 1, 'c', 'n');
    insert into agent_coding_session_messages values ('${lost}', 2, 'c', repeat('n', 65));`);
  for (const user of [id, other]) {
    await older.exec(`
      insert into auth.users values ('${user}');
      insert into devices (id, user_id, name, device_type) values ('${user}', '${user}', 'd', 'desktop');
      insert into repositories (id, user_id, device_id, name, local_path) values ('${user}', '${user}', '${user}', 'r', '/r');
      insert into agent_coding_sessions (id, user_id, device_id, repository_id) values ('${user}', '${user}', '${user}', '${user}');
      insert into agent_coding_session_messages select '${user}', n, 'c', 'n' from generate_series(9, 0, -1) n;`);
  }
  const numbers = async (session) => (await older.query(
    `select sequence_number n, user_id, change_id from agent_coding_session_messages where session_id = $1
     order by change_id nulls last, sequence_number`, [session])).rows;
  const all = async () => JSON.stringify([await numbers(id), await numbers(other), await numbers(lost)]);
  await migrate(older);
  const first = await all();
  for (const user of [id, other]) {
    const rows = await numbers(user);
    const wrong = rows.filter((row, at) => Number(row.n) !== at || row.user_id !== user || row.change_id === null);
    check("an older message gets an owner and a number, in the order of its session", rows.length === 10 ? wrong : [rows.length]);
  }
  check("an older message without a session stops nothing, and belongs to nobody",
    (await numbers(lost)).filter((row) => row.user_id !== "00000000-0000-0000-0000-000000000000"));
  await migrate(older);
  check("running the migrations again numbers nothing anew", (await all()) === first ? [] : [await all()]);
  await older.exec(`insert into agent_coding_session_messages values ('${id}', 10, 'c', 'n')`);
  const [newest] = (await numbers(id)).slice(-1);
  const highest = Math.max(...JSON.parse(first).flat().map((row) => Number(row.change_id)));
  check("a new message has a higher number than every older one", Number(newest.change_id) > highest && Number(newest.n) === 10 ? [] : [newest]);
  const { rows } = await older.query("select tablename from pg_publication_tables where pubname = 'supabase_realtime'");
  check("messages are published for Realtime, once", differences(rows.map(({ tablename }) => tablename), ["agent_coding_session_messages"]));
  await older.close();
}

async function blank() {
  const database = await PGlite.create();
  await database.exec(PROJECT);
  return database;
}

async function migrate(database, wanted) {
  for (const text of migrations(wanted)) await database.exec(text);
}

function differences(found, expected) {
  return JSON.stringify(found) === JSON.stringify(expected) ? [] : [found];
}

function check(what, offenders) {
  offenders.length === 0 ? passed++ : failed++;
  if (offenders.length > 0) console.error(`FAILED  ${what}: ${JSON.stringify(offenders)}`);
}
