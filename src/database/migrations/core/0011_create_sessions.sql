-- Sessions of browsers, and which of them were ended before their time.
-- Lock impact: creates tables; drops the one of the sign-ins before it, whose browsers sign in again.

drop table nomaly.browser_sessions;

-- Sessions and revocations are numbered from here: a revocation ends what has a smaller number.
create sequence nomaly.session_numbers;

create table nomaly.sessions (
  id uuid primary key default gen_random_uuid(),
  number bigint not null unique default nextval('nomaly.session_numbers'),
  tenant_id uuid not null references nomaly.tenants on delete cascade,
  -- The key that made the link, whose session this is. Null: a link printed at the start.
  key_id uuid references nomaly.api_keys on delete cascade,
  role text not null check (role in ('admin', 'editor', 'viewer')),
  device text not null check (length(device) <= 200),
  created_at timestamptz not null,
  last_seen_at timestamptz not null,
  -- Its absolute end, however much it is used.
  expires_at timestamptz not null,
  -- SHA-256 of the secret in the cookie; of the one before, which is good until the new one was used and a moment longer; and of one that was
  -- given out in between and never used.
  token_hash bytea not null unique,
  former_hash bytea unique,
  lapsed_hash bytea unique,
  generation int not null default 1,
  rotated_at timestamptz not null,
  -- When the newest secret was first used.
  confirmed_at timestamptz,
  -- Where its newest writes stand: timeline and place in the log, by system id.
  read_after jsonb not null default '{}'
);
create index on nomaly.sessions (tenant_id, key_id);
create index on nomaly.sessions (key_id);
create index on nomaly.sessions (expires_at);

-- Kept until no session that it ends could be alive: a quick copy of one that comes back, whenever and from wherever, is refused by it.
create table nomaly.session_revocations (
  number bigint primary key,
  tenant_id uuid not null references nomaly.tenants on delete cascade,
  kind text not null check (kind in ('session', 'key', 'tenant')),
  -- Of a session or a key; null for the sessions of links printed at the start, and for those of a whole tenant.
  subject uuid,
  kept_until timestamptz not null
);
create index on nomaly.session_revocations (kept_until);

-- Ends one session, those of a key (null: of links printed at the start) or those of a whole tenant. Whoever ends those of a key or tenant
-- takes away their links before: that is the order of locks.
create function nomaly.end_sessions(of_tenant uuid, of_kind text, of_subject uuid) returns bigint
  language plpgsql as $$
declare
  revocation bigint;
begin
  -- Revocations commit in the order of their numbers, so that who knows one knows all before it.
  perform pg_advisory_xact_lock(4207310011);
  insert into nomaly.session_revocations (number, tenant_id, kind, subject, kept_until)
    values (nextval('nomaly.session_numbers'), of_tenant, of_kind, of_subject,
      -- None may be longer than a year (NOMALY_SESSION_HOURS).
      coalesce((select s.expires_at + interval '1 day' from nomaly.sessions s where of_kind = 'session' and s.id = of_subject),
        now() + interval '400 days'))
    returning number into revocation;
  delete from nomaly.sessions s where s.tenant_id = of_tenant and case of_kind
    when 'session' then s.id = of_subject
    when 'key' then s.key_id is not distinct from of_subject
    else true end;
  perform pg_notify('nomaly', 'keys ' || of_tenant || ' ');
  return revocation;
end $$;

do $$
declare
  name text;
begin
  foreach name in array array['sessions', 'session_revocations'] loop
    execute format('alter table nomaly.%I enable row level security', name);
    execute format('alter table nomaly.%I force row level security', name);
    execute format(
      'create policy tenant on nomaly.%I to nomaly_app using (tenant_id = nomaly.current_tenant())
       with check (tenant_id = nomaly.current_tenant())', name);
    execute format('create policy system on nomaly.%I to nomaly_system using (true) with check (true)', name);
  end loop;
end $$;

grant usage on sequence nomaly.session_numbers to nomaly_app, nomaly_system;
grant select, insert, update, delete on nomaly.sessions to nomaly_system;
grant select, insert, delete on nomaly.session_revocations to nomaly_system;
-- The application lists and ends; what is secret it cannot see.
grant select (id, number, tenant_id, key_id, role, device, created_at, last_seen_at, expires_at), delete on nomaly.sessions to nomaly_app;
grant select (number, tenant_id), insert on nomaly.session_revocations to nomaly_app;
