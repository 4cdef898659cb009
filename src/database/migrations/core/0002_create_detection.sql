-- Datasets, detectors, jobs with their runs and the states of their detectors, and anomalies.
-- Lock impact: none, creates tables only.
-- Foreign keys carry the tenant, so that no row can point into another tenant.

create table nomaly.datasets (
  id uuid primary key default gen_random_uuid(),
  tenant_id uuid not null references nomaly.tenants on delete cascade,
  name text not null check (name ~ '^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$'),
  description text not null default '' check (length(description) <= 2000),
  retention text not null default 'forever' check (retention in ('forever', 'year', 'month', 'week')),
  metadata jsonb not null default '{}' check (jsonb_typeof(metadata) = 'object'),
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  unique (tenant_id, name),
  unique (tenant_id, id)
);

create table nomaly.detectors (
  id uuid primary key default gen_random_uuid(),
  tenant_id uuid not null references nomaly.tenants on delete cascade,
  name text not null check (length(name) between 1 and 200),
  algorithm text not null,
  parameters jsonb not null default '{}' check (jsonb_typeof(parameters) = 'object'),
  budget_alarms float8 not null check (budget_alarms > 0),
  budget_per_seconds float8 not null check (budget_per_seconds > 0),
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  unique (tenant_id, name),
  unique (tenant_id, id)
);

create table nomaly.jobs (
  id uuid primary key default gen_random_uuid(),
  tenant_id uuid not null references nomaly.tenants on delete cascade,
  name text not null check (length(name) between 1 and 200),
  dataset_id uuid not null,
  detector_id uuid not null,
  schedule jsonb not null check (schedule ->> 'kind' in ('once', 'cron', 'streaming')),
  selector jsonb not null default '{}' check (jsonb_typeof(selector) = 'object'),
  status text not null default 'pending'
    check (status in ('pending', 'running', 'completed', 'failed', 'cancelled', 'paused')),
  -- When a cron job is due next; null for every other kind, and while it does not run.
  next_run_at timestamptz,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  unique (tenant_id, id),
  foreign key (tenant_id, dataset_id) references nomaly.datasets (tenant_id, id) on delete cascade,
  foreign key (tenant_id, detector_id) references nomaly.detectors (tenant_id, id)
);
create index on nomaly.jobs (tenant_id, created_at);
create index on nomaly.jobs (dataset_id);
create index on nomaly.jobs (detector_id);
create index on nomaly.jobs (next_run_at) where next_run_at is not null;
create index on nomaly.jobs (dataset_id) where schedule ->> 'kind' = 'streaming' and status in ('pending', 'running');

create table nomaly.runs (
  id uuid primary key default gen_random_uuid(),
  tenant_id uuid not null references nomaly.tenants on delete cascade,
  job_id uuid not null,
  status text not null default 'pending' check (status in ('pending', 'running', 'completed', 'failed', 'cancelled')),
  -- For a cron job, the instant it was due: one run each.
  scheduled_for timestamptz,
  -- How often a worker has taken the run; a worker that lost it finds another number here.
  attempt int not null default 0,
  worker_id text,
  series_total int not null default 0,
  series_done int not null default 0,
  points_scanned bigint not null default 0,
  anomalies_found int not null default 0,
  error jsonb,
  created_at timestamptz not null default now(),
  started_at timestamptz,
  finished_at timestamptz,
  unique (tenant_id, id),
  unique (job_id, scheduled_for),
  foreign key (tenant_id, job_id) references nomaly.jobs (tenant_id, id) on delete cascade
);
create index on nomaly.runs (job_id, created_at desc);
create index on nomaly.runs (tenant_id, created_at desc);
create index on nomaly.runs (status) where status in ('pending', 'running');
-- At most one run of a job is under way: two would take each other's series.
create unique index runs_open_key on nomaly.runs (job_id) where status in ('pending', 'running');

-- What a detector has learnt of a series so far, written in the transaction that stores its findings.
create table nomaly.detector_states (
  tenant_id uuid not null references nomaly.tenants on delete cascade,
  job_id uuid not null,
  series_id int not null,
  -- The run that wrote it last.
  run_id uuid not null,
  -- Raised by every write: a worker that has fallen behind finds another number here, and stops.
  revision int not null,
  -- Time of the last point that went in.
  watermark timestamptz,
  state jsonb not null,
  -- Whether the run has come to the end of this series.
  done boolean not null default false,
  updated_at timestamptz not null default now(),
  primary key (job_id, series_id),
  foreign key (tenant_id, job_id) references nomaly.jobs (tenant_id, id) on delete cascade
);

create table nomaly.anomalies (
  id uuid primary key default gen_random_uuid(),
  tenant_id uuid not null references nomaly.tenants on delete cascade,
  job_id uuid not null,
  run_id uuid not null,
  dataset_id uuid not null,
  series_id int not null,
  metric text not null,
  tags jsonb not null,
  started_at timestamptz not null,
  ended_at timestamptz not null,
  detected_at timestamptz not null,
  peak_at timestamptz not null,
  observed float8 not null,
  expected float8 not null,
  lower_bound float8 not null,
  upper_bound float8 not null,
  score float8 not null check (score between 0 and 1),
  detected_score float8 not null check (detected_score between 0 and 1),
  probability float8 not null check (probability between 0 and 1),
  severity text not null check (severity in ('low', 'medium', 'high', 'critical')),
  direction text not null check (direction in ('above', 'below', 'pattern')),
  algorithm text not null,
  explanation text not null,
  -- Whether later points may still extend it.
  ongoing boolean not null,
  state text not null default 'open' check (state in ('open', 'acknowledged', 'resolved', 'dismissed')),
  note text check (length(note) <= 5000),
  state_changed_at timestamptz,
  state_changed_by text,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  check (started_at <= ended_at),
  -- What keeps a re-run from doubling a finding.
  unique (job_id, series_id, started_at),
  unique (tenant_id, id),
  foreign key (tenant_id, job_id) references nomaly.jobs (tenant_id, id) on delete cascade,
  foreign key (tenant_id, dataset_id) references nomaly.datasets (tenant_id, id) on delete cascade
);
create index on nomaly.anomalies (tenant_id, started_at desc, id desc);
create index on nomaly.anomalies (tenant_id, series_id, started_at);
create index on nomaly.anomalies (dataset_id);
create index on nomaly.anomalies (job_id) where state = 'open';

do $$
declare
  name text;
begin
  foreach name in array array['datasets', 'detectors', 'jobs', 'runs', 'detector_states', 'anomalies'] loop
    execute format('alter table nomaly.%I enable row level security', name);
    execute format('alter table nomaly.%I force row level security', name);
    execute format(
      'create policy tenant on nomaly.%I to nomaly_app using (tenant_id = nomaly.current_tenant())
       with check (tenant_id = nomaly.current_tenant())', name);
    execute format('create policy system on nomaly.%I to nomaly_system using (true) with check (true)', name);
    execute format('grant select, insert, update, delete on nomaly.%I to nomaly_app, nomaly_system', name);
  end loop;
end $$;
