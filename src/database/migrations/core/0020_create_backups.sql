-- When backups are made by themselves, and what became of each attempt.
-- Lock impact: none, creates tables only.

create table nomaly.backup_schedule (
  kind text primary key check (kind in ('full', 'differential')),
  -- Five fields, in UTC.
  cron text not null check (length(cron) <= 200),
  -- Moved on by exactly one process when it is due.
  next_run_at timestamptz not null
);

create table nomaly.backup_runs (
  id bigint generated always as identity primary key,
  kind text not null check (kind in ('full', 'differential')),
  started_at timestamptz not null,
  ended_at timestamptz,
  outcome text not null default 'running' check (outcome in ('running', 'done', 'failed')),
  -- Of the backup that was made.
  backup_id text,
  stored_bytes bigint,
  -- What went wrong, without secrets.
  reason text check (length(reason) <= 2000)
);
create index on nomaly.backup_runs (started_at);

grant select, insert, update, delete on nomaly.backup_schedule, nomaly.backup_runs to nomaly_system;
