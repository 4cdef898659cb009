-- What drills of restores need and leave: earlier states of detectors, what is known of backups, and what became of each drill.
-- Lock impact: none, creates tables only.

-- What detectors had learnt of some series a while ago, so that what they found since can be found again from there.
create table nomaly.detector_snapshots (
  tenant_id uuid not null references nomaly.tenants on delete cascade,
  job_id uuid not null,
  series_id int not null,
  taken_at timestamptz not null default now(),
  revision int not null,
  run_id uuid not null,
  -- When that revision was written: what was found later was found from it.
  written_at timestamptz not null,
  watermark timestamptz,
  state jsonb not null,
  primary key (job_id, series_id, taken_at),
  foreign key (tenant_id, job_id) references nomaly.jobs (tenant_id, id) on delete cascade
);
create index on nomaly.detector_snapshots (taken_at);

alter table nomaly.detector_snapshots enable row level security;
alter table nomaly.detector_snapshots force row level security;
create policy tenant on nomaly.detector_snapshots to nomaly_app
  using (tenant_id = nomaly.current_tenant()) with check (tenant_id = nomaly.current_tenant());
create policy system on nomaly.detector_snapshots to nomaly_system using (true) with check (true);
grant select, insert, delete on nomaly.detector_snapshots to nomaly_system;

-- What was last seen of the backups of each kind.
create table nomaly.backup_sightings (
  engine text primary key check (engine in ('embedded', 'pgbackrest', 'managed')),
  seen_at timestamptz not null,
  last_backup_at timestamptz,
  bytes bigint,
  duration_seconds float8,
  recoverable_from timestamptz,
  -- What is wrong, a sentence; null where nothing is.
  problem text
);
grant select, insert, update, delete on nomaly.backup_sightings to nomaly_system;

create table nomaly.restore_drills (
  id uuid primary key,
  engine text not null,
  backup_id text not null,
  -- Up to when the restored databases have everything: as of then a backup is proven.
  recovered_to timestamptz,
  started_at timestamptz not null,
  finished_at timestamptz not null,
  verdict text not null check (verdict in ('proven', 'proven in part', 'failed')),
  rto_seconds float8,
  rpo_seconds float8,
  report jsonb not null
);
create index on nomaly.restore_drills (finished_at desc);
grant select, insert, delete on nomaly.restore_drills to nomaly_system;
