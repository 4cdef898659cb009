-- Backfills: millions of old points, gathered in a table of their own each before they are put where points are.
-- Lock impact: none, creates tables and functions only.

create table metrics.backfills (
  id uuid primary key default gen_random_uuid(),
  -- Names the table of its points: metrics.backfill_points_<number>.
  number bigint not null generated always as identity unique,
  tenant_id uuid not null,
  source_kind text not null check (source_kind in ('dataset', 'job')),
  source_id uuid not null,
  retention text not null check (retention in ('forever', 'year', 'month', 'week')),
  status text not null default 'receiving' check (status in ('receiving', 'merging', 'completed', 'failed', 'cancelled')),
  -- How many parts there are in all; known when it is finished.
  parts_total integer check (parts_total >= 0),
  -- When its windows were laid out.
  planned_at timestamptz,
  -- Windows that failed since the last one that did not.
  failures integer not null default 0,
  error text,
  hint text,
  created_at timestamptz not null default now(),
  changed_at timestamptz not null default now(),
  ended_at timestamptz
);
create index backfills_page on metrics.backfills (tenant_id, source_id, number);
create index backfills_open on metrics.backfills (number) where status in ('receiving', 'merging', 'failed');

-- A part that has come, in the transaction that stored its points, with the answer that was given.
create table metrics.backfill_parts (
  backfill_id uuid not null references metrics.backfills on delete cascade,
  number integer not null check (number >= 1),
  tenant_id uuid not null,
  -- SHA-256 of the format and the bytes before compression.
  digest bytea not null check (octet_length(digest) = 32),
  points integer not null,
  -- Of these, repeated in the part itself; they are not stored.
  duplicates integer not null,
  conflicting integer not null,
  rejected jsonb not null,
  rejected_total integer not null,
  received_at timestamptz not null default now(),
  primary key (backfill_id, number)
);

-- Stretches of time that are merged one by one, each in one transaction.
create table metrics.backfill_windows (
  backfill_id uuid not null references metrics.backfills on delete cascade,
  lower timestamptz not null,
  retention text not null check (retention in ('forever', 'year', 'month', 'week')),
  upper timestamptz not null check (upper > lower),
  tenant_id uuid not null,
  -- The UTC days in which there are points.
  days timestamptz[] not null,
  points bigint not null,
  merged_at timestamptz,
  inserted bigint not null default 0,
  duplicates bigint not null default 0,
  conflicting bigint not null default 0,
  expired bigint not null default 0,
  primary key (backfill_id, lower, retention)
);

do $$
declare
  name text;
begin
  foreach name in array array['backfills', 'backfill_parts', 'backfill_windows'] loop
    execute format('alter table metrics.%I enable row level security', name);
    execute format('alter table metrics.%I force row level security', name);
    execute format('create policy tenant on metrics.%I to nomaly_app
      using (tenant_id = nomaly.current_tenant()) with check (tenant_id = nomaly.current_tenant())', name);
    execute format('create policy system on metrics.%I to nomaly_system using (true) with check (true)', name);
    execute format('grant select, insert, update, delete on metrics.%I to nomaly_system', name);
  end loop;
end $$;
grant select, insert, update, delete on metrics.backfills to nomaly_app;
grant select, insert on metrics.backfill_parts to nomaly_app;
grant select on metrics.backfill_windows to nomaly_app;

-- Makes the table of a backfill's points: a heap, written once and read window by window, so that it needs neither key nor vacuum. It is
-- logged, since parts are acknowledged.
create function metrics.create_backfill_points(number bigint) returns void
  language plpgsql security definer
  set search_path = pg_catalog, pg_temp
  as $$
declare
  name text := 'backfill_points_' || number;
begin
  execute format('create table metrics.%I (
    time timestamptz not null,
    value double precision not null,
    series_id integer not null,
    part integer not null
  ) with (autovacuum_enabled = false)', name);
  execute format('grant select, insert on metrics.%I to nomaly_system', name);
end $$;

-- Makes windows quick to find, and tells the planner what is there. Points of a part lie together by day, so that ranges of pages do.
create function metrics.index_backfill_points(number bigint) returns void
  language plpgsql security definer
  set search_path = pg_catalog, pg_temp
  as $$
declare
  name text := 'backfill_points_' || number;
begin
  execute format('create index if not exists %I on metrics.%I using brin (time) with (pages_per_range = 8)', name || '_time', name);
  execute format('analyze metrics.%I', name);
end $$;

create function metrics.drop_backfill_points(number bigint) returns void
  language plpgsql security definer
  set search_path = pg_catalog, pg_temp
  as $$
begin
  execute format('drop table if exists metrics.%I', 'backfill_points_' || number);
end $$;

revoke execute on function metrics.create_backfill_points, metrics.index_backfill_points, metrics.drop_backfill_points from public;
grant execute on function metrics.create_backfill_points, metrics.index_backfill_points, metrics.drop_backfill_points to nomaly_system;
