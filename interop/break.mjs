// Breaks the tables of a stopped Supabase Lite, so that `levi doctor --server` has something to report.
//
//   node break.mjs DIRECTORY ROUND        (the `dir` that lite.mjs printed; the server must have stopped)
//
// Each round first runs the migrations again, as `doctor` advises. They must repair what the round before broke.

import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { PGlite } from "@electric-sql/pglite";
import { migrations } from "./migrations.mjs";

const noPolicy = (table, policy) => ({
  table,
  sql: `drop policy "${policy}" on ${table}`,
  says: "no policy lets you write",
});

/** By round: the change to each table, and what `doctor` must say about it: a problem, or a note where syncing goes on. */
export const ROUNDS = {
  policies: [
    noPolicy("devices", "owner"),
    noPolicy("repositories", "owner"),
    noPolicy("agent_coding_session_messages", "owner of the session"),
    noPolicy("agent_coding_session_secrets", "owner of the session"),
    noPolicy("levi_device_list", "owner appends"),
    noPolicy("levi_keyrings", "owner inserts"),
    noPolicy("levi_pairings", "owner"),
  ],
  // Without this policy no session is visible, so nothing can be said about the policies that depend on one.
  "the policy of sessions": [noPolicy("agent_coding_sessions", "owner")],
  "row level security": [
    "devices",
    "repositories",
    "agent_coding_sessions",
    "agent_coding_session_messages",
    "agent_coding_session_secrets",
    "levi_device_list",
    "levi_keyrings",
    "levi_pairings",
  ].map((table) => ({
    table,
    sql: `alter table ${table} disable row level security`,
    says: "row level security does not keep other users' rows apart",
  })),
  "the first migration only": [
    ...["levi_device_list", "levi_keyrings", "levi_pairings"].map((table) => ({
      table,
      sql: `drop table ${table}`,
      says: "the table is missing; only a signed device list needs it",
      verdict: "note",
    })),
    {
      table: "change feed",
      sql: `drop trigger levi_before_message on agent_coding_session_messages;
        drop trigger levi_before_messages on agent_coding_session_messages;
        drop policy "owner of the session" on agent_coding_session_messages;
        alter table agent_coding_session_messages drop column user_id, drop column change_id;
        create policy "owner of the session" on agent_coding_session_messages for all to authenticated
          using (session_id in (select id from agent_coding_sessions where user_id = (select auth.uid())))`,
      says: "has no user_id and change_id; only the change feed needs them",
      verdict: "note",
    },
  ],
  // Last, because the migrations do not add a primary key to a table that is there.
  "tables, columns and keys": [
    { table: "devices", sql: "alter table devices drop column public_key", says: "the column public_key is missing" },
    {
      table: "repositories",
      sql: "alter table repositories drop constraint repositories_pkey cascade",
      says: "no unique key on (id)",
    },
    { table: "agent_coding_sessions", sql: "alter table agent_coding_sessions drop column title", says: "the column title is missing" },
    {
      table: "agent_coding_session_messages",
      sql: "alter table agent_coding_session_messages drop constraint agent_coding_session_messages_pkey",
      says: "no unique key on (session_id,sequence_number)",
    },
    { table: "agent_coding_session_secrets", sql: "drop table agent_coding_session_secrets", says: "the table is missing" },
    {
      table: "levi_device_list",
      sql: "alter table levi_device_list drop constraint levi_device_list_pkey",
      says: "no unique key on (user_id,slot)",
    },
    { table: "levi_keyrings", sql: "alter table levi_keyrings drop column sealed", says: "the column sealed is missing" },
    {
      table: "levi_pairings",
      sql: "alter table levi_pairings alter column request type bytea using decode(request, 'base64')",
      says: "the column request is not text",
    },
  ],
};

if (import.meta.url === pathToFileURL(process.argv[1]).href) {
  const [directory, round] = process.argv.slice(2);
  const database = await PGlite.create({ dataDir: join(directory, "supabase/.temp/data") });
  for (const text of migrations()) await database.exec(text);
  for (const { sql } of ROUNDS[round]) await database.exec(sql);
  await database.close();
}
