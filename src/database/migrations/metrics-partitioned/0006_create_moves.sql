-- What `nomaly metrics move` keeps of itself while points go from one engine to the other.
-- Lock impact: a short exclusive lock on metrics.engine, which has one row.

-- Writes of points before this instant are noted in the journal, because it has been copied up to there, or is being copied.
alter table metrics.engine add column moving_until timestamptz;
alter table metrics.engine add constraint engine_moving_until check (moving_to is not null or moving_until is null);
grant insert on metrics.engine to nomaly_system;

-- Days of series that were written after they had been copied; the day -infinity stands for a series that is gone. As metrics.late_*: every
-- write adds rows of its own, so that no mark can be taken away that is not yet committed.
create table metrics.move_journal (
  id bigint not null generated always as identity (cache 100),
  retention text not null,
  day timestamptz not null,
  series_id integer not null
) with (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 10000);
grant select, insert, delete, truncate on metrics.move_journal to nomaly_system;

-- The stretches of time that a move copies one by one, and what they were found to hold: the checksum is of both sides.
create table metrics.move_windows (
  retention text not null check (retention in ('forever', 'year', 'month', 'week')),
  lower timestamptz not null,
  upper timestamptz not null check (upper > lower),
  copied_at timestamptz,
  points bigint,
  verified_at timestamptz,
  checksum numeric,
  primary key (retention, lower)
);
grant select, insert, update, delete, truncate on metrics.move_windows to nomaly_system;

-- Takes the tables of partitions away from the application, or gives them back: a process that has not heard of a move
-- then fails instead of answering from what is no longer kept up to date. Its reads that have begun go on in their snapshot.
create function metrics.open_partitioned(is_open boolean) returns void
  language plpgsql security definer
  set search_path = pg_catalog, pg_temp
  as $$
declare
  class text;
  tables text;
begin
  foreach class in array array['forever', 'year', 'month', 'week'] loop
    tables := format('metrics.points_%1$s, metrics.hourly_%1$s, metrics.daily_%1$s, metrics.late_%1$s', class);
    if is_open then
      execute format('grant select, insert, update, delete on %s to nomaly_system', tables);
    else
      execute format('revoke all on %s from nomaly_system', tables);
    end if;
  end loop;
end $$;
revoke execute on function metrics.open_partitioned from public;
grant execute on function metrics.open_partitioned to nomaly_system;
