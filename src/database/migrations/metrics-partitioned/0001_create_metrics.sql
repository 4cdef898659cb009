-- Series, the newest point of each, and points by retention class in range partitions.
-- Lock impact: none, creates tables and functions only.

-- Which engine keeps the points; one row, written when the database was made. `moving_to` is the one they are being moved to: from when it
-- is set, every write notes in the journal what it touches.
create table metrics.engine (
  only_row boolean primary key default true check (only_row),
  name text not null check (name in ('timescale', 'partitioned')),
  moving_to text check (moving_to in ('timescale', 'partitioned') and moving_to <> name),
  chosen_at timestamptz not null default now()
);
grant select on metrics.engine to nomaly_app, nomaly_system;
grant update on metrics.engine to nomaly_system;

-- What names a series inside its source, as 32 bytes: the texts themselves may exceed what a B-tree entry holds.
-- Immutable because jsonb has one text form and the database is UTF-8.
create function metrics.series_digest(metric text, tags jsonb) returns bytea
  language sql immutable strict parallel safe
  return pg_catalog.sha256(pg_catalog.convert_to(pg_catalog.jsonb_build_array(metric, tags)::text, 'UTF8'));

create table metrics.series (
  id integer generated always as identity primary key,
  tenant_id uuid not null,
  source_kind text not null check (source_kind in ('dataset', 'job')),
  source_id uuid not null,
  metric text not null check (metric <> ''),
  tags jsonb not null check (jsonb_typeof(tags) = 'object'),
  retention text not null check (retention in ('forever', 'year', 'month', 'week')),
  created_at timestamptz not null default now(),
  digest bytea not null generated always as (metrics.series_digest(metric, tags)) stored,
  unique (tenant_id, source_kind, source_id, digest)
);
-- Pages of a source by id; the unique key serves look-ups by name.
create index series_page on metrics.series (tenant_id, source_id, id);
-- For the system role only: under row-level security PostgreSQL does not use it.
create index series_tags on metrics.series using gin (tags jsonb_path_ops);

alter table metrics.series enable row level security;
alter table metrics.series force row level security;
create policy tenant on metrics.series to nomaly_app
  using (tenant_id = nomaly.current_tenant()) with check (tenant_id = nomaly.current_tenant());
create policy system on metrics.series to nomaly_system using (true) with check (true);
grant select, insert, delete on metrics.series to nomaly_app;
grant select, insert, update, delete on metrics.series to nomaly_system;

-- The newest point of each series, written with the series itself ('-infinity': none yet), so that an append is a plain
-- update. Half-filled pages and no index on what changes keep these updates on their page.
create table metrics.latest_points (
  series_id integer primary key,
  time timestamptz not null default '-infinity',
  value double precision not null default 'NaN'
) with (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.05);
grant select, insert, update, delete on metrics.latest_points to nomaly_system;

-- No foreign key points at or from points, and every access goes by series_id, so that they can be distributed by it.
create table metrics.points_forever (
  time timestamptz not null,
  series_id integer not null,
  value double precision not null,
  primary key (series_id, time)
) partition by range (time);
create table metrics.points_year (like metrics.points_forever including all) partition by range (time);
create table metrics.points_month (like metrics.points_forever including all) partition by range (time);
create table metrics.points_week (like metrics.points_forever including all) partition by range (time);
grant select, insert, update, delete
  on metrics.points_forever, metrics.points_year, metrics.points_month, metrics.points_week to nomaly_system;

-- The partitions there are: what the catalogue knows too, in a form that is cheap to ask.
create table metrics.partitions (
  retention text not null check (retention in ('forever', 'year', 'month', 'week')),
  lower timestamptz not null,
  upper timestamptz not null check (upper > lower),
  table_name text not null unique,
  primary key (retention, lower)
);
grant select on metrics.partitions to nomaly_system;

-- The start and end, in UTC, of the day, month or year that an instant lies in.
create function metrics.calendar_range(width text, instant timestamptz, out lower timestamptz, out upper timestamptz)
  language sql immutable strict parallel safe
  set timezone = 'UTC'
  as $$
    select pg_catalog.date_trunc(width, instant at time zone 'UTC') at time zone 'UTC',
           (pg_catalog.date_trunc(width, instant at time zone 'UTC') + ('1 ' || width)::interval) at time zone 'UTC'
  $$;

-- Makes the partitions that are missing for these instants; answers the bounds of all that hold them.
-- Near `at` partitions are narrow (a month; a day where points live for a month or a week), far away a year wide, so that
-- points from any time between 1970 and 2100 cannot make more than some two hundred of them. A partition is attached, not
-- created in place: attaching does not keep others from reading and writing.
create function metrics.ensure_partitions(class text, instants timestamptz[], at timestamptz)
  returns table (lower_ms double precision, upper_ms double precision, created boolean)
  language plpgsql security definer
  set search_path = pg_catalog, pg_temp
  set timezone = 'UTC'
  as $$
declare
  parent text := 'points_' || class;
  widths text[] := case when class in ('month', 'week') then array['year', 'month', 'day'] else array['year', 'month'] end;
  -- How near, for each width: wider partitions stay out of this surrounding of `at`.
  near interval[] := array[interval '800 days', interval '40 days'];
  instant timestamptz;
  bounds record;
  partition_name text;
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
      partition_name := parent || to_char(bounds.lower, '_YYYYMMDD_') || to_char(bounds.upper, 'YYYYMMDD');
      execute format('create table metrics.%I (like metrics.%I including all)', partition_name, parent);
      execute format('alter table metrics.%I attach partition metrics.%I for values from (%L) to (%L)',
        parent, partition_name, bounds.lower, bounds.upper);
      insert into metrics.partitions values (class, bounds.lower, bounds.upper, partition_name);
    end if;
    lower_ms := extract(epoch from bounds.lower) * 1000;
    upper_ms := extract(epoch from bounds.upper) * 1000;
    created := is_new;
    return next;
  end loop;
end $$;

-- Drops the partitions of a class that end at or before an instant; answers how many. Where the table is in use for more than
-- a second, which others then have to wait for too, the rest is left for the next time.
create function metrics.drop_partitions(class text, before timestamptz) returns integer
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
    select p.lower, p.table_name from metrics.partitions p where p.retention = class and p.upper <= before order by 1
  loop
    begin
      execute format('drop table metrics.%I', doomed.table_name);
      delete from metrics.partitions p where p.retention = class and p.lower = doomed.lower;
      dropped := dropped + 1;
    exception when lock_not_available then
      exit;
    end;
  end loop;
  return dropped;
end $$;

revoke execute on function metrics.ensure_partitions, metrics.drop_partitions from public;
grant execute on function metrics.ensure_partitions, metrics.drop_partitions to nomaly_system;
