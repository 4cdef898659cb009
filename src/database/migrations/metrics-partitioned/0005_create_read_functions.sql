-- What reads of metrics begin with, as functions: a connection keeps their plans, and planning these statements takes several times as long as
-- running them. They have the rights of who asks. Lists of ids differ in length and not in how they are best looked up: one plan serves all,
-- where PostgreSQL would make one for each again and again.
-- Lock impact: metrics.latest_points is locked exclusively while its rows are given their tenant, about a second for each 100,000 series.

-- So that the newest points of a tenant are found without a look at each series. Null, and so nobody's, where a writer left it out.
alter table metrics.latest_points add column tenant_id uuid;
set local role nomaly_system;
update metrics.latest_points l set tenant_id = s.tenant_id from metrics.series s where s.id = l.series_id;
set local role nomaly_owner;
alter table metrics.latest_points enable row level security;
alter table metrics.latest_points force row level security;
create policy system on metrics.latest_points to nomaly_system using (true) with check (true);
-- The owner looks whether there is anything at all.
create policy owner on metrics.latest_points for select to nomaly_owner using (true);

-- The newest points of series that the tenant of the transaction owns, in one row: ids, epoch seconds and values.
create function metrics.newest_points(ids integer[], out series_ids text, out seconds text, out point_values text)
  language plpgsql stable parallel safe
  set plan_cache_mode = force_generic_plan
  as $$
declare
  tenant uuid := nomaly.current_tenant();
begin
  select array_agg(l.series_id), array_agg(date_part('epoch', l.time)), array_agg(l.value)
    into series_ids, seconds, point_values
    from metrics.latest_points l
    where l.series_id = any(ids) and l.tenant_id = tenant and l.time > '-infinity';
end $$;

-- The series among these ids, and those of a source with a metric and tags, where these are not null: by class and metric, ids as a list.
create function metrics.find_series(ids integer[])
  returns table (retention text, metric text, series_ids text)
  language plpgsql stable parallel safe
  set plan_cache_mode = force_generic_plan
  as $$
begin
  return query select s.retention, s.metric, array_agg(s.id)::text from metrics.series s where s.id = any(ids) group by 1, 2;
end $$;

create function metrics.find_series(source uuid, with_metric text, with_tags jsonb, most integer)
  returns table (retention text, metric text, series_ids text)
  language plpgsql stable parallel safe
  set plan_cache_mode = force_generic_plan
  as $$
declare
  tenant uuid := nomaly.current_tenant();
begin
  return query select f.retention, f.metric, array_agg(f.id)::text from (
      -- The source narrows enough: the index on tags, which the tenant's policy keeps from being used, is not missed.
      select s.id, s.retention, s.metric from metrics.series s
      where s.tenant_id = tenant and s.source_id = source
        and (with_metric is null or s.metric = with_metric) and (with_tags is null or s.tags @> with_tags)
      order by s.id limit most
    ) f group by 1, 2;
end $$;

-- Up to where the hours of each class are closed, in epoch microseconds, and whether any of these days has marks.
create function metrics.closed_hours(from_day timestamptz, to_day timestamptz)
  returns table (retention text, micros double precision, is_marked boolean)
  language plpgsql stable parallel safe
  as $$
begin
  return query select s.retention, date_part('epoch', s.closed_until) * 1000000, case s.retention
      when 'forever' then exists (select from metrics.late_forever where day >= from_day and day < to_day)
      when 'year' then exists (select from metrics.late_year where day >= from_day and day < to_day)
      when 'month' then exists (select from metrics.late_month where day >= from_day and day < to_day)
      else exists (select from metrics.late_week where day >= from_day and day < to_day)
    end from metrics.roll_up_state s;
end $$;

revoke execute on function metrics.newest_points, metrics.find_series(integer[]), metrics.find_series(uuid, text, jsonb, integer),
  metrics.closed_hours from public;
grant execute on function metrics.newest_points, metrics.closed_hours to nomaly_system;
grant execute on function metrics.find_series(integer[]), metrics.find_series(uuid, text, jsonb, integer) to nomaly_app;
