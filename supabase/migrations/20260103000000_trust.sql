-- The signed device list: three tables, and bounds on what the tables of the first migration hold.
--
-- Every device checks signatures and the hash chain itself. What the database adds is order (the first row on a slot
-- stays), privacy from other users, and limits on what a stolen access token can fill up.
-- Safe to run again.

-- ---------------------------------------------------------------- tables

-- One entry of a user's list. An honest device that loses the race for a slot is told so (23505), reads the list
-- and builds its entry anew.
create table if not exists public.levi_device_list (
  user_id     uuid not null references auth.users (id) on delete cascade,
  slot        bigint not null check (slot between 0 and 1999),
  entry       text not null check (octet_length(entry) <= 8192),             -- base64
  signature   text not null check (octet_length(signature) <= 128),          -- base64, 64 bytes
  cosignature text check (octet_length(cosignature) <= 128),                 -- base64, 64 bytes, where the kind asks for one
  created_at  timestamptz not null default now(),
  primary key (user_id, slot)
);

-- The epoch secrets, sealed for one member of the list. A later epoch replaces the row.
create table if not exists public.levi_keyrings (
  user_id    uuid not null references auth.users (id) on delete cascade,
  member_id  uuid not null,
  epoch      integer not null check (epoch >= 1),
  enc        text not null check (octet_length(enc) <= 2048),                -- base64, 1,120 bytes
  sealed     text not null check (octet_length(sealed) <= 65536),            -- base64(ciphertext || tag)
  created_at timestamptz not null default now(),
  primary key (user_id, member_id)
);

-- A pairing in progress. The id is derived from the code; the contents are encrypted under it.
create table if not exists public.levi_pairings (
  user_id     uuid not null references auth.users (id) on delete cascade,
  id          text not null check (octet_length(id) <= 64),
  request     text not null check (octet_length(request) <= 8192),           -- base64
  answer      text check (octet_length(answer) <= 16384),                    -- base64
  cosignature text check (octet_length(cosignature) <= 128),                 -- base64, 64 bytes
  created_at  timestamptz not null default now(),
  primary key (user_id, id)
);

-- ---------------------------------------------------------------- who may do what
-- The list is append-only: `authenticated` has neither the privilege nor a policy to update or delete.

revoke all on public.levi_device_list, public.levi_keyrings, public.levi_pairings from anon, authenticated;

grant select, insert on public.levi_device_list to authenticated;
grant select, insert, update on public.levi_keyrings to authenticated;
grant select, insert, update, delete on public.levi_pairings to authenticated;
grant all on public.levi_device_list, public.levi_keyrings, public.levi_pairings to service_role;

alter table public.levi_device_list enable row level security;
alter table public.levi_keyrings enable row level security;
alter table public.levi_pairings enable row level security;

drop policy if exists "owner reads" on public.levi_device_list;
create policy "owner reads" on public.levi_device_list for select to authenticated
  using (user_id = (select auth.uid()));
drop policy if exists "owner appends" on public.levi_device_list;
create policy "owner appends" on public.levi_device_list for insert to authenticated
  with check (user_id = (select auth.uid()));

drop policy if exists "owner reads" on public.levi_keyrings;
create policy "owner reads" on public.levi_keyrings for select to authenticated
  using (user_id = (select auth.uid()));
drop policy if exists "owner inserts" on public.levi_keyrings;
create policy "owner inserts" on public.levi_keyrings for insert to authenticated
  with check (user_id = (select auth.uid()));
drop policy if exists "owner updates" on public.levi_keyrings;
create policy "owner updates" on public.levi_keyrings for update to authenticated
  using (user_id = (select auth.uid()))
  with check (user_id = (select auth.uid()));

drop policy if exists "owner" on public.levi_pairings;
create policy "owner" on public.levi_pairings for all to authenticated
  using (user_id = (select auth.uid()))
  with check (user_id = (select auth.uid()));

-- ---------------------------------------------------------------- bounds on the older tables
-- For rows that are written from now on (`not valid`): a row that is there does not stop the migration.
-- `octet_length` is defined for text and for bytea.

do $$
declare
  bound record;
begin
  for bound in
    select * from (values
      ('devices', 'public_key', 64),                                       -- base64 of 32 bytes is 44
      ('agent_coding_session_messages', 'content_encrypted', 67108864),    -- 64 MiB
      ('agent_coding_session_messages', 'content_nonce', 64),              -- base64 of 24 bytes is 32
      ('agent_coding_session_secrets', 'ephemeral_public_key', 64),
      ('agent_coding_session_secrets', 'encrypted_secret', 256)            -- base64 of 64 bytes is 88
    ) as bounds (table_name, column_name, bytes)
  loop
    if not exists (
      select from pg_catalog.pg_constraint
      where conrelid = pg_catalog.format('public.%I', bound.table_name)::pg_catalog.regclass
        and conname = bound.table_name || '_' || bound.column_name || '_bound'
    ) then
      execute pg_catalog.format(
        'alter table public.%I add constraint %I check (octet_length(%I) <= %s) not valid',
        bound.table_name, bound.table_name || '_' || bound.column_name || '_bound', bound.column_name, bound.bytes);
    end if;
  end loop;
end
$$;
