// Takes one thing from each table of a stopped Supabase Lite, so that `levi doctor --server` has something to name.
//
//   node break.mjs DIRECTORY        (the `dir` that lite.mjs printed; the server must have stopped)

import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { PGlite } from "@electric-sql/pglite";

/** What is done to which table, and what `doctor` must say of it. */
export const FAULTS = [
  { table: "devices", sql: "alter table devices disable row level security", says: "row level security" },
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
];

if (import.meta.url === pathToFileURL(process.argv[1]).href) {
  const database = await PGlite.create({ dataDir: join(process.argv[2], "supabase/.temp/data") });
  for (const { sql } of FAULTS) await database.exec(sql);
  await database.close();
}
