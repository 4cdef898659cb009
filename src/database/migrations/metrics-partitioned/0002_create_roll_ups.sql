-- Hourly and daily roll-ups of points, and the ledger of what in them is behind.
-- Lock impact: short exclusive locks on new tables only; makes two tables for each partition of points there is. Points that
-- are there already are rolled up afterwards, in the background, and answered from raw until then.

-- Widest columns first: rows are the smaller for it. The last finite value is at last_time; both are null where there is none.
create table metrics.hourly_forever (
  bucket timestamptz not null,
  count bigint not null,
  non_finite bigint not null,
  sum double precision,
  sum_squares double precision,
  min double precision,
  max double precision,
  last double precision,
  last_time timestamptz,
  series_id integer not null,
  primary key (series_id, bucket)
) partition by range (bucket);
create table metrics.hourly_year (like metrics.hourly_forever including all) partition by range (bucket);
create table metrics.hourly_month (like metrics.hourly_forever including all) partition by range (bucket);
create table metrics.hourly_week (like metrics.hourly_forever including all) partition by range (bucket);
create table metrics.daily_forever (like metrics.hourly_forever including all) partition by range (bucket);
create table metrics.daily_year (like metrics.hourly_forever including all) partition by range (bucket);
create table metrics.daily_month (like metrics.hourly_forever including all) partition by range (bucket);
create table metrics.daily_week (like metrics.hourly_forever including all) partition by range (bucket);
grant select, insert, update, delete
  on metrics.hourly_forever, metrics.hourly_year, metrics.hourly_month, metrics.hourly_week,
     metrics.daily_forever, metrics.daily_year, metrics.daily_month, metrics.daily_week to nomaly_system;

-- Up to where hours are closed: from there on points are answered from raw, before it from roll-ups, but for what is marked.
-- Writes mark what they write before `closing_until`, which runs ahead of `closed_until` while hours are being closed.
create table metrics.roll_up_state (
  retention text primary key check (retention in ('forever', 'year', 'month', 'week')),
  closing_until timestamptz not null default '-infinity',
  closed_until timestamptz not null default '-infinity',
  check (closed_until <= closing_until)
);
insert into metrics.roll_up_state (retention) values ('forever'), ('year'), ('month'), ('week');
grant select, update on metrics.roll_up_state to nomaly_system;

-- Hours of a series whose roll-ups are behind its points: bit n of `hours` is hour n of the UTC day. A journal: every write
-- adds rows of its own, so that writers do not wait for one another, and no mark can be taken away that is not yet committed.
create table metrics.late_forever (
  id bigint not null generated always as identity (cache 100),
  day timestamptz not null,
  series_id integer not null,
  hours integer not null check (hours between 1 and 16777215)
) with (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 10000);
create index late_forever_day on metrics.late_forever (day, series_id);
create table metrics.late_year (like metrics.late_forever including all)
  with (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 10000);
create table metrics.late_month (like metrics.late_forever including all)
  with (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 10000);
create table metrics.late_week (like metrics.late_forever including all)
  with (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 10000);
grant select, insert, delete
  on metrics.late_forever, metrics.late_year, metrics.late_month, metrics.late_week to nomaly_system;

-- Makes the partition of points that was just noted, and those of its roll-ups, which have the same bounds.
create function metrics.create_partition(class text, lower timestamptz, upper timestamptz) returns void
  language plpgsql
  set search_path = pg_catalog, pg_temp
  set timezone = 'UTC'
  as $$
declare
  kind text;
  suffix text := class || to_char(lower, '_YYYYMMDD_') || to_char(upper, 'YYYYMMDD');
begin
  foreach kind in array array['points_', 'hourly_', 'daily_'] loop
    continue when to_regclass(format('metrics.%I', kind || suffix)) is not null;
    execute format('create table metrics.%I (like metrics.%I including all)', kind || suffix, kind || class);
    execute format('alter table metrics.%I attach partition metrics.%I for values from (%L) to (%L)',
      kind || class, kind || suffix, lower, upper);
  end loop;
end $$;
revoke execute on function metrics.create_partition from public;

select metrics.create_partition(retention, lower, upper) from metrics.partitions;

-- As before, but for the roll-ups.
create or replace function metrics.ensure_partitions(class text, instants timestamptz[], at timestamptz)
  returns table (lower_ms double precision, upper_ms double precision, created boolean)
  language plpgsql security definer
  set search_path = pg_catalog, pg_temp
  set timezone = 'UTC'
  as $$
declare
  widths text[] := case when class in ('month', 'week') then array['year', 'month', 'day'] else array['year', 'month'] end;
  -- How near, for each width: wider partitions stay out of this surrounding of `at`.
  near interval[] := array[interval '800 days', interval '40 days'];
  instant timestamptz;
  bounds record;
  is_new boolean;
begin
  if class not in ('forever', 'year', 'month', 'week') then
    raise exception 'unknown retention class %', class using errcode = 'invalid_parameter_value';
  end if;
  perform pg_advisory_xact_lock(hashtextextended('nomaly metrics partitions ' || class, 0));
  for instant in select distinct unnest(instants) order by 1 loop
    select p.lower, p.upper into bounds from metrics.partitions p
      where p.retention = class and p.lower <= instant and p.upper > instant;
    is_new := not found;
    if is_new then
      for i in 1 .. array_length(widths, 1) loop
        select r.lower, r.upper into bounds from metrics.calendar_range(widths[i], instant) r;
        exit when i = array_length(widths, 1);
        exit when (bounds.upper <= at - near[i] or bounds.lower > at + near[i])
          and not exists (select from metrics.partitions p
            where p.retention = class and p.lower < bounds.upper and p.upper > bounds.lower);
      end loop;
      perform metrics.create_partition(class, bounds.lower, bounds.upper);
      insert into metrics.partitions values (class, bounds.lower, bounds.upper,
        'points_' || class || to_char(bounds.lower, '_YYYYMMDD_') || to_char(bounds.upper, 'YYYYMMDD'));
    end if;
    lower_ms := extract(epoch from bounds.lower) * 1000;
    upper_ms := extract(epoch from bounds.upper) * 1000;
    created := is_new;
    return next;
  end loop;
end $$;

-- As before; roll-ups go in the same moment as the points that they were made from.
create or replace function metrics.drop_partitions(class text, before timestamptz) returns integer
  language plpgsql security definer
  set search_path = pg_catalog, pg_temp
  set lock_timeout = '1s'
  as $$
declare
  doomed record;
  dropped integer := 0;
begin
  perform pg_advisory_xact_lock(hashtextextended('nomaly metrics partitions ' || class, 0));
  for doomed in
    select p.lower, p.upper, p.table_name, replace(p.table_name, 'points_', '') as suffix
    from metrics.partitions p where p.retention = class and p.upper <= before order by 1
  loop
    begin
      execute format('drop table metrics.%I, metrics.%I, metrics.%I',
        doomed.table_name, 'hourly_' || doomed.suffix, 'daily_' || doomed.suffix);
      delete from metrics.partitions p where p.retention = class and p.lower = doomed.lower;
      execute format('delete from metrics.%I where day >= $1 and day < $2', 'late_' || class)
        using doomed.lower, doomed.upper;
      dropped := dropped + 1;
    exception when lock_not_available then
      exit;
    end;
  end loop;
  return dropped;
end $$;
