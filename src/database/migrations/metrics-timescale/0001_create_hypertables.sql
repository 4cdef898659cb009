-- Points by retention class in hypertables, their roll-ups in continuous aggregates, and the ledger of what in these is behind.
-- Needs the extension timescaledb, 2.20 or newer, with its own licence (not the Apache edition), in schema public of this database.
-- Lock impact: none, creates tables, aggregates and functions only.

-- Readers hold it shared from before their snapshot, and what compresses a chunk has it alone when it commits: what changes its place is
-- invisible to older snapshots.
create table metrics.timescale_gate ();
grant select on metrics.timescale_gate to nomaly_app, nomaly_system;
-- Locking a table against everybody takes a right to write to it.
grant delete on metrics.timescale_gate to nomaly_system;

-- As metrics.roll_up_state and metrics.late_* are for partitions.
create table metrics.timescale_state (
  retention text primary key check (retention in ('forever', 'year', 'month', 'week')),
  closing_until timestamptz not null default '-infinity',
  closed_until timestamptz not null default '-infinity',
  check (closed_until <= closing_until)
);
insert into metrics.timescale_state (retention) values ('forever'), ('year'), ('month'), ('week');
grant select, update on metrics.timescale_state to nomaly_system;

create table metrics.timescale_late_forever (
  id bigint not null generated always as identity (cache 100),
  day timestamptz not null,
  series_id integer not null,
  hours integer not null check (hours between 1 and 16777215)
) with (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 10000);
create index timescale_late_forever_day on metrics.timescale_late_forever (day, series_id);
create table metrics.timescale_late_year (like metrics.timescale_late_forever including all)
  with (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 10000);
create table metrics.timescale_late_month (like metrics.timescale_late_forever including all)
  with (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 10000);
create table metrics.timescale_late_week (like metrics.timescale_late_forever including all)
  with (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 10000);
grant select, insert, delete
  on metrics.timescale_late_forever, metrics.timescale_late_year, metrics.timescale_late_month, metrics.timescale_late_week
  to nomaly_system;

-- What the system refreshes, compresses and drops it has to own: TimescaleDB asks for the owner, and refreshing does not run
-- inside a function that could stand in for one.
grant create on schema metrics to nomaly_system;
set local role nomaly_system;
set local search_path = pg_catalog, public, pg_temp;

do $$
declare
  class text;
  finite text := $f$case when abs(value) < 'Infinity' then value end$f$;
begin
  foreach class in array array['forever', 'year', 'month', 'week'] loop
    execute format($sql$
      create table metrics.timescale_points_%1$s (
        time timestamptz not null,
        series_id integer not null,
        value double precision not null,
        primary key (series_id, time)
      )$sql$, class);
    execute format($sql$
      select create_hypertable('metrics.timescale_points_%1$s', by_range('time', interval '1 day'), create_default_indexes => false)
      $sql$, class);
    -- As it is spelled since 2.18; `timescaledb.compress` and its like are the older names of the same.
    execute format($sql$
      alter table metrics.timescale_points_%1$s
        set (timescaledb.enable_columnstore, timescaledb.segmentby = 'series_id', timescaledb.orderby = 'time')
      $sql$, class);
    -- Non-finite values are counted and kept out of the rest; squares too small for a normal float count as 0.
    execute format($sql$
      create materialized view metrics.timescale_hourly_%1$s
      with (timescaledb.continuous, timescaledb.materialized_only = true, timescaledb.chunk_interval = '%3$s') as
      select series_id, time_bucket('1 hour', time) as bucket,
        count(%2$s) as count,
        count(*) - count(%2$s) as non_finite,
        sum(%2$s) as sum,
        sum(case when abs(%2$s) < 1.5e-154 then 0 else (%2$s) * (%2$s) end) as sum_squares,
        min(%2$s) as min,
        max(%2$s) as max,
        last(value, time) filter (where abs(value) < 'Infinity') as last,
        max(time) filter (where abs(value) < 'Infinity') as last_time
      from metrics.timescale_points_%1$s
      group by 1, 2 with no data
      $sql$, class, finite, case when class in ('month', 'week') then '28 days' else '91 days' end);
    execute format($sql$
      create materialized view metrics.timescale_daily_%1$s
      with (timescaledb.continuous, timescaledb.materialized_only = true, timescaledb.chunk_interval = '364 days') as
      select series_id, time_bucket('1 day', bucket) as bucket,
        sum(count)::bigint as count,
        sum(non_finite)::bigint as non_finite,
        sum(sum) as sum,
        sum(sum_squares) as sum_squares,
        min(min) as min,
        max(max) as max,
        last(last, last_time) filter (where last_time is not null) as last,
        max(last_time) as last_time
      from metrics.timescale_hourly_%1$s
      group by 1, 2 with no data
      $sql$, class);
  end loop;
end $$;

-- Only what the migrations make stands in this schema.
set local role nomaly_owner;
revoke create on schema metrics from nomaly_system;
