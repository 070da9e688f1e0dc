// Levi's migrations as text, and what they expect of a database that is not a Supabase project.

import { readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const folder = fileURLToPath(new URL("../supabase/migrations/", import.meta.url));

/** What a Supabase project brings along, as far as the migrations use it. The signed-in user is a setting. */
export const PROJECT = `
  create role anon; create role authenticated; create role service_role bypassrls;
  create schema auth;
  create table auth.users (id uuid primary key);
  create function auth.uid() returns uuid language sql stable as
    $$ select nullif(current_setting('request.jwt.claim.sub', true), '')::uuid $$;
  grant usage on schema public to anon, authenticated, service_role;`;

/** The migrations in order, as one text each. */
export function migrations(wanted = () => true) {
  return readdirSync(folder).filter(wanted).sort().map((file) => readFileSync(join(folder, file), "utf8"));
}
