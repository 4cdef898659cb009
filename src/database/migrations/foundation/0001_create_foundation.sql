-- What every database of an installation has, that of the metrics too where it is another one: the tenant of a transaction, how an
-- unknown outcome is looked up, whose database this is, and what was found to be left over.
-- Lock impact: none, creates tables and a function only.

-- The tenant of the running transaction; null, and so no row, where it was not set.
create function nomaly.current_tenant() returns uuid
  language sql stable parallel safe
  return nullif(current_setting('nomaly.tenant_id', true), '')::uuid;

-- Written by every transaction, so that an unknown outcome can be looked up; pruned after an hour.
create table nomaly.commit_markers (
  marker uuid primary key,
  -- `refused` was written by who looked: the transaction of that marker can no longer commit.
  verdict text not null default 'committed' check (verdict in ('committed', 'refused')),
  written_at timestamptz not null default now()
);
create index on nomaly.commit_markers (written_at);
grant insert on nomaly.commit_markers to nomaly_app;
grant select, insert, delete on nomaly.commit_markers to nomaly_system;

-- Whose database this is, and what it holds: the ids in the core and in the database of its metrics must be the same.
create table nomaly.installation (
  only_row boolean primary key default true check (only_row),
  -- Of the installation: made once, in its core.
  id uuid not null,
  holds text not null check (holds in ('everything', 'core', 'metrics')),
  -- Of the database of the metrics, where that is another one: made once, and written into both.
  metrics_id uuid,
  check ((holds = 'everything') = (metrics_id is null))
);
grant select on nomaly.installation to nomaly_app, nomaly_system;

-- What refers to something that is not there: in the database of the metrics, sources whose dataset is gone (series_id is 0); in the core, what
-- detectors have learnt of series that are gone. It is removed when it still is so an hour after it was first seen.
create table nomaly.orphans (
  kind text not null check (kind in ('source', 'detector-state')),
  tenant_id uuid not null,
  -- Of the dataset, or of the job of the detector.
  owner_id uuid not null,
  series_id integer not null default 0,
  first_seen_at timestamptz not null,
  primary key (kind, tenant_id, owner_id, series_id)
);
alter table nomaly.orphans enable row level security;
alter table nomaly.orphans force row level security;
create policy system on nomaly.orphans to nomaly_system using (true) with check (true);
grant select, insert, delete on nomaly.orphans to nomaly_system;
