-- What Levi needs on a Supabase project: five tables, their keys, and who may touch which row.
--
-- Plain PostgreSQL, safe to run again: `supabase db push`, or paste it into the SQL editor.
-- The server stores ciphertext only. These policies keep one user's rows from another user; they are
-- the second lock, not the first.

-- ---------------------------------------------------------------- tables
-- `create table if not exists` leaves an older table of that name as it is; what it lacks is added after it,
-- without `not null`, which the rows that are there could not satisfy. Levi fills every column that it writes.

create table if not exists public.devices (
  id          uuid primary key,
  user_id     uuid not null references auth.users (id) on delete cascade,
  name        text not null,
  device_type text not null,
  public_key  text,                            -- X25519, base64 of 32 bytes; without one no secret is sent to it
  is_active   boolean not null default true,   -- false: a device that was lost or signed out; it gets no new secret
  created_at  timestamptz not null default now(),
  unique (id, user_id)                         -- so that a row below can name the device together with its owner
);
alter table public.devices
  add column if not exists user_id uuid references auth.users (id) on delete cascade,
  add column if not exists name text,
  add column if not exists device_type text,
  add column if not exists public_key text,
  add column if not exists is_active boolean not null default true;
create unique index if not exists devices_id_user_id_key on public.devices (id, user_id);

create table if not exists public.repositories (
  id              uuid primary key,
  user_id         uuid not null references auth.users (id) on delete cascade,
  device_id       uuid not null,
  name            text not null,
  local_path      text not null,
  remote_url      text,
  default_branch  text,
  is_worktree     boolean not null default false,
  worktree_branch text,
  status          text not null default 'active',
  created_at      timestamptz not null default now(),
  unique (id, user_id),
  unique (device_id, local_path),
  -- Two columns, so that the device is one of the same user's: a foreign key does not look at policies.
  foreign key (device_id, user_id) references public.devices (id, user_id)
);
alter table public.repositories
  add column if not exists user_id uuid references auth.users (id) on delete cascade,
  add column if not exists device_id uuid references public.devices (id),
  add column if not exists name text,
  add column if not exists local_path text,
  add column if not exists remote_url text,
  add column if not exists default_branch text,
  add column if not exists is_worktree boolean not null default false,
  add column if not exists worktree_branch text,
  add column if not exists status text not null default 'active';
create unique index if not exists repositories_id_user_id_key on public.repositories (id, user_id);

create table if not exists public.agent_coding_sessions (
  id                uuid primary key,
  user_id           uuid not null references auth.users (id) on delete cascade,
  device_id         uuid not null,
  repository_id     uuid not null,
  status            text not null default 'active' check (status in ('active', 'paused', 'ended')),
  title             text,
  current_branch    text,
  working_directory text,
  is_worktree       boolean not null default false,
  worktree_path     text,
  last_heartbeat_at timestamptz not null default now(),
  created_at        timestamptz not null default now(),
  foreign key (device_id, user_id) references public.devices (id, user_id),
  foreign key (repository_id, user_id) references public.repositories (id, user_id)
);
alter table public.agent_coding_sessions
  add column if not exists user_id uuid references auth.users (id) on delete cascade,
  add column if not exists device_id uuid references public.devices (id),
  add column if not exists repository_id uuid references public.repositories (id),
  add column if not exists status text not null default 'active',
  add column if not exists title text,
  add column if not exists current_branch text,
  add column if not exists working_directory text,
  add column if not exists is_worktree boolean not null default false,
  add column if not exists worktree_path text,
  add column if not exists last_heartbeat_at timestamptz not null default now();

create table if not exists public.agent_coding_session_messages (
  session_id        uuid not null references public.agent_coding_sessions (id) on delete cascade,
  sequence_number   bigint not null check (sequence_number >= 0),
  content_encrypted text not null,             -- base64(ciphertext || tag)
  content_nonce     text not null,             -- base64, 24 bytes
  created_at        timestamptz not null default now(),
  primary key (session_id, sequence_number)
);
alter table public.agent_coding_session_messages
  add column if not exists content_encrypted text,
  add column if not exists content_nonce text;

create table if not exists public.agent_coding_session_secrets (
  session_id           uuid not null references public.agent_coding_sessions (id) on delete cascade,
  device_id            uuid not null references public.devices (id) on delete cascade,
  ephemeral_public_key text not null,          -- base64, 32 bytes
  encrypted_secret     text not null,          -- base64(ciphertext || tag)
  -- Who sealed it, where that is not the session's own device. Never set to null by a delete: null has a meaning.
  sender_device_id     uuid references public.devices (id),
  created_at           timestamptz not null default now(),
  primary key (session_id, device_id)
);
alter table public.agent_coding_session_secrets
  add column if not exists ephemeral_public_key text,
  add column if not exists encrypted_secret text,
  add column if not exists sender_device_id uuid references public.devices (id);

-- ---------------------------------------------------------------- one index per foreign key
-- (where a primary or unique key does not begin with its column already)

create index if not exists devices_user_id_idx on public.devices (user_id);
create index if not exists repositories_user_id_idx on public.repositories (user_id);
create index if not exists agent_coding_sessions_user_id_idx on public.agent_coding_sessions (user_id);
create index if not exists agent_coding_sessions_device_id_idx on public.agent_coding_sessions (device_id);
create index if not exists agent_coding_sessions_repository_id_idx on public.agent_coding_sessions (repository_id);
create index if not exists agent_coding_session_secrets_device_id_idx
  on public.agent_coding_session_secrets (device_id);
create index if not exists agent_coding_session_secrets_sender_device_id_idx
  on public.agent_coding_session_secrets (sender_device_id);

-- ---------------------------------------------------------------- who may come in at all

-- Hosted projects grant everything on a new table, TRUNCATE included, which no policy looks at.
revoke all on public.devices, public.repositories, public.agent_coding_sessions,
  public.agent_coding_session_messages, public.agent_coding_session_secrets from anon, authenticated;

grant select, insert, update, delete on public.devices, public.repositories, public.agent_coding_sessions,
  public.agent_coding_session_messages, public.agent_coding_session_secrets to authenticated;

grant all on public.devices, public.repositories, public.agent_coding_sessions,
  public.agent_coding_session_messages, public.agent_coding_session_secrets to service_role;

-- ---------------------------------------------------------------- and to which rows
-- `for all` is select, insert, update and delete. An upsert needs the first three: it reads and updates the
-- row that is there, and is refused as a whole where that row is another user's.
-- `(select auth.uid())` is evaluated once a statement, a bare `auth.uid()` once a row.

alter table public.devices enable row level security;
alter table public.repositories enable row level security;
alter table public.agent_coding_sessions enable row level security;
alter table public.agent_coding_session_messages enable row level security;
alter table public.agent_coding_session_secrets enable row level security;

drop policy if exists "owner" on public.devices;
create policy "owner" on public.devices for all to authenticated
  using (user_id = (select auth.uid()))
  with check (user_id = (select auth.uid()));

drop policy if exists "owner" on public.repositories;
create policy "owner" on public.repositories for all to authenticated
  using (user_id = (select auth.uid()))
  with check (user_id = (select auth.uid()));

drop policy if exists "owner" on public.agent_coding_sessions;
create policy "owner" on public.agent_coding_sessions for all to authenticated
  using (user_id = (select auth.uid()))
  with check (user_id = (select auth.uid()));

drop policy if exists "owner of the session" on public.agent_coding_session_messages;
create policy "owner of the session" on public.agent_coding_session_messages for all to authenticated
  using (exists (
    select 1 from public.agent_coding_sessions s
    where s.id = agent_coding_session_messages.session_id and s.user_id = (select auth.uid())
  ))
  with check (exists (
    select 1 from public.agent_coding_sessions s
    where s.id = agent_coding_session_messages.session_id and s.user_id = (select auth.uid())
  ));

-- The devices named must be the user's own too: nobody can hand an envelope to a stranger's device.
drop policy if exists "owner of the session" on public.agent_coding_session_secrets;
create policy "owner of the session" on public.agent_coding_session_secrets for all to authenticated
  using (exists (
    select 1 from public.agent_coding_sessions s
    where s.id = agent_coding_session_secrets.session_id and s.user_id = (select auth.uid())
  ))
  with check (
    exists (
      select 1 from public.agent_coding_sessions s
      where s.id = agent_coding_session_secrets.session_id and s.user_id = (select auth.uid())
    )
    and exists (
      select 1 from public.devices d
      where d.id = agent_coding_session_secrets.device_id and d.user_id = (select auth.uid())
    )
    and (
      sender_device_id is null
      or exists (
        select 1 from public.devices d
        where d.id = agent_coding_session_secrets.sender_device_id and d.user_id = (select auth.uid())
      )
    )
  );
