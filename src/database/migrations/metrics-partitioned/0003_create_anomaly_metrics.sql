-- Points of jobs as one table, anomaly_metrics, for database logins of tenants that read and insert them in SQL.
-- Lock impact: none, creates a table, a view and functions only.

-- Which tenant a database login is of: written by the operator, read with every statement. No foreign key: metrics stand by themselves.
create table metrics.logins (
  login name primary key,
  tenant_id uuid not null,
  created_at timestamptz not null default now()
);
alter table metrics.logins enable row level security;
alter table metrics.logins force row level security;
create policy system on metrics.logins to nomaly_system using (true) with check (true);
grant select, insert, delete on metrics.logins to nomaly_system;

-- Which transactions last changed what metrics.engine says, and last made another engine the one that keeps the points, where snapshots that
-- are older can read it too: sequences have no versions.
create sequence metrics.engine_changed;
create sequence metrics.engine_switched;
grant select, update on metrics.engine_changed, metrics.engine_switched to nomaly_system;
create function metrics.note_engine_change() returns trigger
  language plpgsql
  set search_path = pg_catalog, pg_temp
  as $$
begin
  perform setval('metrics.engine_changed', pg_current_xact_id()::text::bigint);
  if tg_op = 'INSERT' or old.name <> new.name then
    perform setval('metrics.engine_switched', pg_current_xact_id()::text::bigint);
  end if;
  return null;
end $$;
create trigger note_engine_change after insert or update on metrics.engine
  for each row execute function metrics.note_engine_change();

-- The points themselves, with the rights of the owner: those of the system are taken away and given back when points move.
create view metrics.sql_points_partitioned as select time, series_id, value from metrics.points_forever;
grant select on metrics.sql_points_partitioned to nomaly_system;

-- What follows runs with the rights of the system, which row-level security lets see all series: the tenant is asked for in each.
grant create on schema metrics to nomaly_system;
set local role nomaly_system;

-- The tenant of who has logged in, whatever roles and settings are set since. Everybody may ask: it is their own.
create function metrics.login_tenant() returns uuid
  language plpgsql stable security definer
  set search_path = pg_catalog, pg_temp
  as $$
declare
  tenant uuid;
begin
  select l.tenant_id into tenant from metrics.logins l where l.login = session_user;
  if tenant is null then
    raise exception 'the login % has no tenant', session_user
      using errcode = 'insufficient_privilege', hint = 'The operator makes one with `nomaly access grant-sql`.';
  end if;
  return tenant;
end $$;

-- Fails where a transaction, which the caller cannot know otherwise, is not in the snapshot: what it put elsewhere would be missing. One that
-- is still to come was noted by another server, whose copy this is. One that is under way can take nothing away from a statement that
-- has locked what it reads; of a snapshot that serves several statements nobody knows what came before that.
create function metrics.require_seen(noted bigint) returns void
  language plpgsql stable
  set search_path = pg_catalog, pg_temp
  as $$
declare
  status text;
begin
  if pg_visible_in_snapshot(noted::text::xid8, pg_current_snapshot()) then
    return;
  end if;
  begin
    status := pg_xact_status(noted::text::xid8);
  exception when invalid_parameter_value then
    return;
  end;
  if status = 'in progress' and current_setting('transaction_isolation') = 'read committed' then
    return;
  end if;
  raise exception 'points were put elsewhere since this transaction took its snapshot'
    using errcode = 'serialization_failure', hint = 'Begin the transaction again.';
end $$;

-- Whether this engine keeps the points, for a login that has a tenant.
create function metrics.login_reads(engine text) returns boolean
  language plpgsql stable security definer
  set search_path = pg_catalog, pg_temp
  as $$
declare
  kept_by text := coalesce((select e.name from metrics.engine e), 'partitioned');
begin
  perform metrics.login_tenant();
  -- Whatever the answer is: an engine that has no tables any more is not even asked.
  perform metrics.require_seen((select last_value from metrics.engine_switched));
  if engine = kept_by and engine = 'timescale' then
    perform metrics.require_seen((select last_value from metrics.timescale_compressed));
  end if;
  return engine = kept_by;
end $$;

-- A barrier: no function of who reads sees a row of another tenant. Series of jobs are kept forever.
create view metrics.anomaly_metrics_partitioned with (security_barrier) as
  select p.time, s.source_id as job_id, s.metric as metric_name, p.value as metric_value, s.tags
  from metrics.series s join metrics.sql_points_partitioned p on p.series_id = s.id
  where (select metrics.login_reads('partitioned'))
    and s.tenant_id = (select metrics.login_tenant()) and s.source_kind = 'job' and s.retention = 'forever';
create view metrics.anomaly_metrics with (security_barrier) as
  select time, job_id, metric_name, metric_value, tags from metrics.anomaly_metrics_partitioned;

-- The length of a text as the API counts it, in units of UTF-16.
create function metrics.utf16_length(word text) returns integer
  language sql immutable strict parallel safe
  return pg_catalog.length(word)
    + pg_catalog.length(pg_catalog.regexp_replace(word, '[^\U00010000-\U0010FFFF]', '', 'g'));

-- Tags as they are stored: texts; what is null counts as absent. Fails with what is wrong.
create function metrics.sound_tags(tags jsonb) returns jsonb
  language plpgsql immutable
  set search_path = pg_catalog, pg_temp
  as $$
declare
  sound jsonb;
  wrong text;
begin
  if jsonb_typeof(tags) <> 'object' then
    raise exception 'tags must be a JSON object of texts' using errcode = 'check_violation';
  end if;
  select jsonb_object_agg(t.key, t.value #>> '{}') filter (where jsonb_typeof(t.value) <> 'null'),
      min(t.key) filter (where jsonb_typeof(t.value) in ('object', 'array') or t.key in ('', '__proto__')
        or metrics.utf16_length(t.key) > 100 or metrics.utf16_length(t.value #>> '{}') > 500)
    into sound, wrong from jsonb_each(tags) t;
  if wrong is not null then
    raise exception 'tags: "%" is no name of 1 to 100 characters with a text of at most 500', left(wrong, 100)
      using errcode = 'check_violation';
  end if;
  sound := coalesce(sound, '{}');
  if (select count(*) from jsonb_object_keys(sound)) > 20 then
    raise exception 'tags: at most 20 are allowed' using errcode = 'check_violation';
  end if;
  return sound;
end $$;

-- Which engine a row that is inserted goes to, and up to where points have been copied to another one. Points do not move on until the
-- transaction ends.
create function metrics.lock_engine(out name text, out moving_until timestamptz)
  language plpgsql
  set search_path = pg_catalog, pg_temp
  as $$
begin
  perform pg_advisory_xact_lock_shared(hashtextextended('nomaly metrics move', 0));
  if current_setting('transaction_isolation') <> 'read committed' then
    perform metrics.require_seen((select last_value from metrics.engine_changed));
  end if;
  select e.name, e.moving_until into name, moving_until from metrics.engine e;
  name := coalesce(name, 'partitioned');
end $$;

-- Whether there is room for a point of this time.
create function metrics.has_partition(instant timestamptz) returns boolean
  language sql stable
  return exists (select from metrics.partitions p
    where p.retention = 'forever' and p.lower <= instant and p.upper > instant);

-- Stores a point, and marks its hour; false where there is one at that instant.
create function metrics.insert_into_partition(instant timestamptz, series integer, number double precision) returns boolean
  language plpgsql
  set search_path = pg_catalog, pg_temp
  set timezone = 'UTC'
  as $$
begin
  insert into metrics.points_forever (time, series_id, value) values (instant, series, number) on conflict do nothing;
  if not found then
    return false;
  end if;
  insert into metrics.late_forever (day, series_id, hours)
    values (date_trunc('day', instant), series, 1 << date_part('hour', instant)::integer);
  return true;
end $$;

-- One row in: as a write of the metrics engine, but for two things. It marks its hour whether that is closed or not, so that those who
-- close hours need not wait for a transaction that may stay open for long; and it makes no partitions, whose making
-- would keep all others waiting as long. Who moves points to another engine does wait for it: it is the one place that notes for them what
-- was written in SQL.
create function metrics.insert_anomaly_metric() returns trigger
  language plpgsql security definer
  set search_path = pg_catalog, pg_temp
  set timezone = 'UTC'
  as $$
declare
  tenant uuid := metrics.login_tenant();
  named jsonb := metrics.sound_tags(coalesce(new.tags, '{}'));
  -- Adding zero turns -0 into 0.
  number double precision := new.metric_value + 0;
  engine record;
  has_room boolean;
  found_id integer;
  found_retention text;
  is_new boolean := false;
  is_stored boolean;
begin
  if new.time is null or new.job_id is null or new.metric_name is null or new.metric_value is null then
    raise exception 'time, job_id, metric_name and metric_value must not be null' using errcode = 'not_null_violation';
  end if;
  if new.time < '1970-01-01Z' or new.time > '2100-01-01Z' then
    raise exception 'time % is outside 1970-01-01 to 2100-01-01', new.time using errcode = 'check_violation';
  end if;
  if new.metric_name = '' or metrics.utf16_length(new.metric_name) > 200 then
    raise exception 'metric_name must have 1 to 200 characters' using errcode = 'check_violation';
  end if;
  if abs(number) > 1e148 and abs(number) < 'Infinity' then
    raise exception 'metric_value % is beyond 1e148, such values would overflow sums', number using errcode = 'check_violation';
  end if;
  engine := metrics.lock_engine();
  perform pg_advisory_xact_lock_shared(hashtextextended('nomaly metrics source ' || new.job_id, 0));
  if engine.name = 'timescale' then
    has_room := metrics.lock_chunk(new.time);
  else
    has_room := metrics.has_partition(new.time);
  end if;
  if not has_room then
    raise exception 'there is no room for points of % yet', new.time
      using errcode = 'object_not_in_prerequisite_state', hint = 'A point of that time that comes through the HTTP API makes it.';
  end if;
  for attempt in 1 .. 2 loop
    select s.id, s.retention into found_id, found_retention from metrics.series s
      where s.tenant_id = tenant and s.source_kind = 'job' and s.source_id = new.job_id
        and s.digest = metrics.series_digest(new.metric_name, named);
    exit when found;
    insert into metrics.series (tenant_id, source_kind, source_id, metric, tags, retention)
      values (tenant, 'job', new.job_id, new.metric_name, named, 'forever')
      on conflict (tenant_id, source_kind, source_id, digest) do nothing
      returning id, retention into found_id, found_retention;
    is_new := found;
    exit when is_new;
  end loop;
  if found_id is null then
    raise exception 'the series was made by another transaction meanwhile' using errcode = 'serialization_failure';
  end if;
  if found_retention <> 'forever' then
    raise exception 'this series is kept for a %, and written through the HTTP API only', found_retention
      using errcode = 'feature_not_supported';
  end if;
  if is_new then
    insert into metrics.latest_points (series_id, tenant_id) values (found_id, tenant);
  end if;
  if engine.name = 'timescale' then
    is_stored := metrics.insert_into_chunk(new.time, found_id, number);
  else
    is_stored := metrics.insert_into_partition(new.time, found_id, number);
  end if;
  if is_stored then
    update metrics.latest_points l set time = new.time, value = number where l.series_id = found_id and l.time < new.time;
    if new.time < engine.moving_until then
      insert into metrics.move_journal (retention, day, series_id)
        values ('forever', date_trunc('day', new.time), found_id);
    end if;
  end if;
  return new;
end $$;
revoke execute on function metrics.insert_anomaly_metric, metrics.sound_tags, metrics.utf16_length, metrics.require_seen,
  metrics.lock_engine, metrics.has_partition, metrics.insert_into_partition from public;

create trigger insert_anomaly_metric instead of insert on metrics.anomaly_metrics
  for each row execute function metrics.insert_anomaly_metric();

set local role nomaly_owner;
revoke create on schema metrics from nomaly_system;
