-- "What changed since?" for one user, over all sessions, as one request that an index answers:
--
--   GET agent_coding_session_messages?user_id=eq.<user>&change_id=gt.<cursor>&order=change_id&limit=<n>
--
-- The database fills both columns. A client that writes messages does not send them; what it sends for them is
-- ignored. No key depends on them: a server that numbers rows wrongly delays a reader, and that is all.
-- Safe to run again, and on older tables.

alter table public.agent_coding_session_messages
  add column if not exists user_id uuid,       -- the owner of the session; all zeros if the session is not there
  add column if not exists change_id bigint;   -- a later change of any of this user's messages has a higher one

create sequence if not exists public.agent_coding_session_messages_change_id_seq as bigint;
revoke all on sequence public.agent_coding_session_messages_change_id_seq from anon, authenticated;
grant usage on sequence public.agent_coding_session_messages_change_id_seq to authenticated, service_role;

-- ---------------------------------------------------------------- numbering
-- One user's transactions number their rows one after the other: the lock ends when the transaction has
-- committed, so a row with a lower number never becomes visible after one with a higher number, and a reader
-- that has seen the higher number has missed nothing. Different users do not wait for each other.
-- An advisory lock of null is no lock.

-- Before the statement locks any row, because two transactions that lock a row and the user in different order
-- would wait for each other. Without a signed-in user (service_role, the SQL editor) only the row trigger locks.
-- `security definer`, because not every server lets `authenticated` look `auth.uid` up by name.
create or replace function public.levi_before_messages() returns trigger
language plpgsql security definer set search_path = '' as $$
begin
  perform pg_catalog.pg_advisory_xact_lock(
    pg_catalog.hashtextextended('levi/change-feed/' || auth.uid()::text, 0));
  return null;
end
$$;

create or replace function public.levi_before_message() returns trigger
language plpgsql set search_path = '' as $$
begin
  -- From the session, whoever writes. A signed-in user does not see another user's session, and the policy refuses
  -- the zeros. For service_role the foreign key refuses the row, with its own error because zeros are not null.
  if tg_op = 'INSERT' or new.session_id is distinct from old.session_id then
    new.user_id := coalesce(
      (select s.user_id from public.agent_coding_sessions s where s.id = new.session_id),
      '00000000-0000-0000-0000-000000000000');
  else
    new.user_id := old.user_id;
  end if;
  -- A change is what a reader of the feed can see. A batch that is sent again after a lost answer is none, nor is
  -- a column of the project's own that a trigger stamps at every write.
  if tg_op = 'UPDATE'
    and (new.user_id, new.session_id, new.sequence_number, new.content_encrypted, new.content_nonce)
    is not distinct from
        (old.user_id, old.session_id, old.sequence_number, old.content_encrypted, old.content_nonce) then
    new.change_id := old.change_id;
    return new;
  end if;
  perform pg_catalog.pg_advisory_xact_lock(
    pg_catalog.hashtextextended('levi/change-feed/' || new.user_id::text, 0));
  new.change_id := pg_catalog.nextval('public.agent_coding_session_messages_change_id_seq');
  return new;
end
$$;

-- ---------------------------------------------------------------- rows that are there
-- One statement, so that no row is written between the numbering of the old rows and the triggers.

do $$
begin
  lock table public.agent_coding_session_messages in access exclusive mode;
  drop trigger if exists levi_before_messages on public.agent_coding_session_messages;
  drop trigger if exists levi_before_message on public.agent_coding_session_messages;

  -- In the order of each session. The rows that have no number are those from before the triggers.
  with numbered as (
    select pg_catalog.nextval('public.agent_coding_session_messages_change_id_seq') as change_id, rows.*
    from (
      select m.ctid as place, coalesce(s.user_id, '00000000-0000-0000-0000-000000000000') as user_id
      from public.agent_coding_session_messages m
      left join public.agent_coding_sessions s on s.id = m.session_id
      where m.change_id is null
      order by m.session_id, m.sequence_number
    ) rows
  )
  update public.agent_coding_session_messages m
  set user_id = numbered.user_id, change_id = numbered.change_id
  from numbered
  where m.ctid = numbered.place;

  alter table public.agent_coding_session_messages
    alter column user_id set not null,
    alter column change_id set not null;

  create trigger levi_before_messages before insert or update on public.agent_coding_session_messages
    for each statement execute function public.levi_before_messages();
  create trigger levi_before_message before insert or update on public.agent_coding_session_messages
    for each row execute function public.levi_before_message();
end
$$;

create index if not exists agent_coding_session_messages_user_id_change_id_idx
  on public.agent_coding_session_messages (user_id, change_id);

-- ---------------------------------------------------------------- which rows
-- The first condition uses the index; the second is the one of the first migration.

drop policy if exists "owner of the session" on public.agent_coding_session_messages;
create policy "owner of the session" on public.agent_coding_session_messages for all to authenticated
  using (user_id = (select auth.uid()) and exists (
    select 1 from public.agent_coding_sessions s
    where s.id = agent_coding_session_messages.session_id and s.user_id = (select auth.uid())
  ))
  with check (user_id = (select auth.uid()) and exists (
    select 1 from public.agent_coding_sessions s
    where s.id = agent_coding_session_messages.session_id and s.user_id = (select auth.uid())
  ));

-- ---------------------------------------------------------------- Realtime
-- A hint that something may have changed, where the project has it. `for all tables` needs no entry.

do $$
begin
  if exists (select from pg_catalog.pg_publication where pubname = 'supabase_realtime' and not puballtables)
    and not exists (
      select from pg_catalog.pg_publication_tables
      where pubname = 'supabase_realtime' and schemaname = 'public' and tablename = 'agent_coding_session_messages'
    ) then
    alter publication supabase_realtime add table public.agent_coding_session_messages;
  end if;
end
$$;
