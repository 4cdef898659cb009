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
      using errcode = 'insufficient_privilege', hint = 'The operator enters it into metrics.logins.';
  end if;
  if exists (select from metrics.engine where name = 'timescale') then
    raise exception 'anomaly_metrics is not available where TimescaleDB keeps the metrics'
      using errcode = 'feature_not_supported', hint = 'Use the HTTP API.';
  end if;
  return tenant;
end $$;

-- A barrier: no function of who reads sees a row of another tenant. Series of jobs are kept forever.
create view metrics.anomaly_metrics with (security_barrier) as
  select p.time, s.source_id as job_id, s.metric as metric_name, p.value as metric_value, s.tags
  from metrics.series s join metrics.points_forever p on p.series_id = s.id
  where s.tenant_id = (select metrics.login_tenant()) and s.source_kind = 'job' and s.retention = 'forever';

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

-- One row in: as a write of the metrics engine, but for two things. It marks its hour whether that is closed or not, so that those who
-- close hours need not wait for a transaction that may stay open for long; and it makes no partitions, whose making
-- would keep all others waiting as long.
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
  found_id integer;
  found_retention text;
  is_new boolean := false;
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
  perform pg_advisory_xact_lock_shared(hashtextextended('nomaly metrics source ' || new.job_id, 0));
  if not exists (select from metrics.partitions p
      where p.retention = 'forever' and p.lower <= new.time and p.upper > new.time) then
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
    insert into metrics.latest_points (series_id) values (found_id);
  end if;
  insert into metrics.points_forever (time, series_id, value) values (new.time, found_id, number) on conflict do nothing;
  if found then
    update metrics.latest_points l set time = new.time, value = number where l.series_id = found_id and l.time < new.time;
    insert into metrics.late_forever (day, series_id, hours)
      values (date_trunc('day', new.time), found_id, 1 << date_part('hour', new.time)::integer);
  end if;
  return new;
end $$;
revoke execute on function metrics.insert_anomaly_metric, metrics.sound_tags, metrics.utf16_length from public;

create trigger insert_anomaly_metric instead of insert on metrics.anomaly_metrics
  for each row execute function metrics.insert_anomaly_metric();

set local role nomaly_owner;
revoke create on schema metrics from nomaly_system;
