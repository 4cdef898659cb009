-- Tenants, their keys and sign-ins, settings and the audit log.
-- Lock impact: none, creates tables only.

create table nomaly.tenants (
  id uuid primary key default gen_random_uuid(),
  name text not null unique check (name ~ '^[a-z0-9][a-z0-9-]{0,62}$'),
  created_at timestamptz not null default now()
);

create table nomaly.api_keys (
  id uuid primary key default gen_random_uuid(),
  tenant_id uuid not null references nomaly.tenants on delete cascade,
  name text not null check (length(name) between 1 and 200),
  role text not null check (role in ('admin', 'editor', 'viewer')),
  -- SHA-256 of the key: keys are 256 random bits, so that a slow hash would add nothing.
  key_hash bytea not null unique,
  -- The first characters, for people to recognise a key by.
  prefix text not null,
  created_at timestamptz not null default now(),
  last_used_at timestamptz,
  revoked_at timestamptz
);
create index on nomaly.api_keys (tenant_id, created_at);

-- One-time links that sign a browser in.
create table nomaly.sign_in_links (
  token_hash bytea primary key,
  tenant_id uuid not null references nomaly.tenants on delete cascade,
  role text not null check (role in ('admin', 'editor', 'viewer')),
  -- The key that made it: once it is revoked, what came of it ends too. Null for the link printed at the start.
  key_id uuid references nomaly.api_keys on delete cascade,
  created_at timestamptz not null default now(),
  expires_at timestamptz not null,
  used_at timestamptz
);
create index on nomaly.sign_in_links (key_id);
create index on nomaly.sign_in_links (expires_at);

create table nomaly.browser_sessions (
  token_hash bytea primary key,
  tenant_id uuid not null references nomaly.tenants on delete cascade,
  role text not null check (role in ('admin', 'editor', 'viewer')),
  key_id uuid references nomaly.api_keys on delete cascade,
  created_at timestamptz not null default now(),
  last_seen_at timestamptz not null default now(),
  expires_at timestamptz not null
);
create index on nomaly.browser_sessions (key_id);
create index on nomaly.browser_sessions (expires_at);

create table nomaly.settings (
  tenant_id uuid not null references nomaly.tenants on delete cascade,
  name text not null check (length(name) between 1 and 100),
  value jsonb not null,
  updated_at timestamptz not null default now(),
  updated_by text not null,
  primary key (tenant_id, name)
);

create table nomaly.audit_log (
  id bigint generated always as identity primary key,
  tenant_id uuid not null references nomaly.tenants on delete cascade,
  at timestamptz not null default now(),
  actor text not null,
  action text not null,
  subject_kind text not null,
  subject_id text not null,
  detail jsonb not null default '{}'
);
create index on nomaly.audit_log (tenant_id, id desc);

create function nomaly.refuse_change() returns trigger
  language plpgsql as $$
begin
  -- Only a deleted tenant takes its entries along.
  if tg_op = 'DELETE' and pg_trigger_depth() > 1 then
    return old;
  end if;
  raise exception 'the audit log is append-only' using errcode = 'insufficient_privilege';
end $$;
create trigger audit_log_is_append_only
  before update or delete on nomaly.audit_log
  for each row execute function nomaly.refuse_change();
create trigger audit_log_is_not_truncated
  before truncate on nomaly.audit_log
  for each statement execute function nomaly.refuse_change();

-- Row-level security: a tenant's rows for the application, every row for the system, nothing for anyone else.
do $$
declare
  name text;
begin
  foreach name in array array['api_keys', 'sign_in_links', 'browser_sessions', 'settings', 'audit_log'] loop
    execute format('alter table nomaly.%I enable row level security', name);
    execute format('alter table nomaly.%I force row level security', name);
    execute format(
      'create policy tenant on nomaly.%I to nomaly_app using (tenant_id = nomaly.current_tenant())
       with check (tenant_id = nomaly.current_tenant())', name);
    execute format('create policy system on nomaly.%I to nomaly_system using (true) with check (true)', name);
  end loop;
end $$;

alter table nomaly.tenants enable row level security;
alter table nomaly.tenants force row level security;
create policy tenant on nomaly.tenants for select to nomaly_app using (id = nomaly.current_tenant());
create policy system on nomaly.tenants to nomaly_system using (true) with check (true);

grant select on nomaly.tenants to nomaly_app;
grant select, insert, update, delete on nomaly.tenants to nomaly_system;
grant select, insert, update, delete on nomaly.api_keys, nomaly.settings to nomaly_app, nomaly_system;
grant select, insert on nomaly.audit_log to nomaly_app, nomaly_system;
grant select, insert, update, delete on nomaly.sign_in_links, nomaly.browser_sessions to nomaly_system;
grant select (key_id, tenant_id), delete on nomaly.sign_in_links, nomaly.browser_sessions to nomaly_app;
