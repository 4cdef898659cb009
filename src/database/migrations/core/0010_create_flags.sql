-- Feature flags and live settings: what holds now, and every version that they have had.
-- Lock impact: creates tables; the audit log is locked for a moment, without being read, while its tenant becomes optional.

-- What an operator changes for the whole installation has no tenant; no tenant sees it.
alter table nomaly.audit_log alter column tenant_id drop not null;

create table nomaly.live_entries (
  id uuid primary key default gen_random_uuid(),
  -- Null: of the installation.
  tenant_id uuid references nomaly.tenants on delete cascade,
  noun text not null check (noun in ('flag', 'setting')),
  key text not null check (key ~ '^[a-z0-9][a-z0-9._-]{0,99}$'),
  -- Never begins anew, not even for a key that was removed and made again: who has seen a number has seen that state.
  version int not null check (version > 0),
  -- Null: removed; of a setting, that it has its default.
  value jsonb,
  changed_at timestamptz not null default now(),
  changed_by text not null,
  check (noun = 'flag' or tenant_id is null),
  unique nulls not distinct (tenant_id, noun, key)
);

-- Append-only: nobody has the right to change or remove a version.
create table nomaly.live_versions (
  id bigint generated always as identity primary key,
  tenant_id uuid references nomaly.tenants on delete cascade,
  noun text not null,
  key text not null,
  version int not null,
  value jsonb,
  -- The version whose value this one has taken again.
  reverted_to int,
  note text not null default '' check (length(note) <= 2000),
  changed_at timestamptz not null default now(),
  changed_by text not null,
  unique nulls not distinct (tenant_id, noun, key, version)
);

do $$
declare
  name text;
begin
  foreach name in array array['live_entries', 'live_versions'] loop
    execute format('alter table nomaly.%I enable row level security', name);
    execute format('alter table nomaly.%I force row level security', name);
    execute format(
      'create policy tenant on nomaly.%I to nomaly_app using (tenant_id = nomaly.current_tenant())
       with check (tenant_id = nomaly.current_tenant())', name);
    execute format('create policy system on nomaly.%I to nomaly_system using (true) with check (true)', name);
  end loop;
end $$;

grant select, insert, update on nomaly.live_entries to nomaly_app, nomaly_system;
grant select, insert on nomaly.live_versions to nomaly_app, nomaly_system;
