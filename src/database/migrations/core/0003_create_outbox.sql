-- What must follow a commit: events for those who listen, and the webhook of a tenant.
-- Lock impact: none, creates tables only.

-- Written in the transaction that it speaks of; the relay moves it on, at least once.
create table nomaly.outbox (
  id bigint generated always as identity primary key,
  tenant_id uuid not null references nomaly.tenants on delete cascade,
  topic text not null,
  payload jsonb not null,
  created_at timestamptz not null default now()
);

-- Numbered by the one relay after the commit, so that no number appears below one that was read already.
create table nomaly.events (
  id bigint generated always as identity primary key,
  tenant_id uuid not null references nomaly.tenants on delete cascade,
  topic text not null,
  payload jsonb not null,
  published_at timestamptz not null default now()
);
create index on nomaly.events (tenant_id, id);
create index on nomaly.events using brin (published_at);

do $$
declare
  name text;
begin
  foreach name in array array['outbox', 'events'] loop
    execute format('alter table nomaly.%I enable row level security', name);
    execute format('alter table nomaly.%I force row level security', name);
    execute format(
      'create policy tenant on nomaly.%I to nomaly_app using (tenant_id = nomaly.current_tenant())
       with check (tenant_id = nomaly.current_tenant())', name);
    execute format('create policy system on nomaly.%I to nomaly_system using (true) with check (true)', name);
  end loop;
end $$;

grant insert on nomaly.outbox to nomaly_app;
grant select on nomaly.events to nomaly_app;
grant select, insert, delete on nomaly.outbox, nomaly.events to nomaly_system;
