// Breaks the tables of a stopped Supabase Lite, so that `levi doctor --server` has something to report.
//
//   node break.mjs DIRECTORY ROUND        (the `dir` that lite.mjs printed; the server must have stopped)
//
// Each round first runs the migrations again, as `doctor` advises. They must repair what the round before broke.

import { readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { PGlite } from "@electric-sql/pglite";

const noPolicy = (table, policy) => ({
  table,
  sql: `drop policy "${policy}" on ${table}`,
  says: "no policy lets you write",
});

/** By round: the change to each table, and what `doctor` must say about it. */
export const ROUNDS = {
  policies: [
    noPolicy("devices", "owner"),
    noPolicy("repositories", "owner"),
    noPolicy("agent_coding_session_messages", "owner of the session"),
    noPolicy("agent_coding_session_secrets", "owner of the session"),
  ],
  // Without this policy no session is visible, so nothing can be said about the policies that depend on one.
  "the policy of sessions": [noPolicy("agent_coding_sessions", "owner")],
  "row level security": [
    "devices",
    "repositories",
    "agent_coding_sessions",
    "agent_coding_session_messages",
    "agent_coding_session_secrets",
  ].map((table) => ({
    table,
    sql: `alter table ${table} disable row level security`,
    says: "row level security does not keep other users' rows apart",
  })),
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
  ],
};

if (import.meta.url === pathToFileURL(process.argv[1]).href) {
  const [directory, round] = process.argv.slice(2);
  const migrations = fileURLToPath(new URL("../supabase/migrations/", import.meta.url));
  const database = await PGlite.create({ dataDir: join(directory, "supabase/.temp/data") });
  for (const file of readdirSync(migrations).sort()) await database.exec(readFileSync(join(migrations, file), "utf8"));
  for (const { sql } of ROUNDS[round]) await database.exec(sql);
  await database.close();
}
