/** The product's tables of jobs, users, settings and the audit log, column by column and index by index, as SQLite has them. */
export const SQLITE_SCHEMA = `
  create table tenants (id text primary key, name text not null) without rowid;
  create table datasets (id text primary key, tenant_id text not null references tenants, name text not null) without rowid;
  create table detectors (id text primary key, tenant_id text not null references tenants, name text not null) without rowid;
  create table jobs (
    id text primary key, tenant_id text not null references tenants on delete cascade,
    name text not null check (length(name) between 1 and 200),
    dataset_id text not null references datasets on delete cascade, detector_id text not null references detectors,
    schedule text not null check (schedule ->> 'kind' in ('once', 'cron', 'streaming')),
    selector text not null default '{}',
    status text not null default 'pending'
      check (status in ('pending', 'running', 'completed', 'failed', 'cancelled', 'paused')),
    next_run_at text, created_at text not null default current_timestamp, updated_at text not null default current_timestamp,
    unique (tenant_id, id)) without rowid;
  create index jobs_created on jobs (tenant_id, created_at);
  create index jobs_dataset on jobs (dataset_id);
  create index jobs_detector on jobs (detector_id);
  create index jobs_due on jobs (next_run_at) where next_run_at is not null;
  create index jobs_streaming on jobs (dataset_id) where schedule ->> 'kind' = 'streaming' and status in ('pending', 'running');
  create table api_keys (
    id text primary key, tenant_id text not null references tenants on delete cascade, name text not null, role text not null,
    key_hash blob not null unique, prefix text not null, created_at text not null default current_timestamp,
    last_used_at text, revoked_at text) without rowid;
  create index api_keys_created on api_keys (tenant_id, created_at);
  create table settings (
    tenant_id text not null references tenants on delete cascade, name text not null, value text not null,
    updated_at text not null default current_timestamp, updated_by text not null, primary key (tenant_id, name)) without rowid;
  create table audit_log (
    id integer primary key, tenant_id text references tenants on delete cascade, at text not null default current_timestamp,
    actor text not null, action text not null, subject_kind text not null, subject_id text not null, detail text not null default '{}');
  create index audit_log_at on audit_log (tenant_id, at);`

/** As durable as PostgreSQL is here: what was acknowledged survives a loss of power. */
export const SQLITE_PRAGMAS =
  'pragma journal_mode = wal; pragma synchronous = full; pragma foreign_keys = on; pragma busy_timeout = 30000; pragma cache_size = -32768'
