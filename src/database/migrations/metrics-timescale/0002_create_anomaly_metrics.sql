-- The table anomaly_metrics of tenant logins, where hypertables keep the points: which of the two engines does is looked up with each statement.
-- Lock impact: replaces a view, for which it waits until those who read it have finished.

-- The transaction that last compressed a chunk, where snapshots that are older can read it too: rows that it moved are missing in these.
create sequence metrics.timescale_compressed;
grant select, update on metrics.timescale_compressed to nomaly_system;

grant create on schema metrics to nomaly_system;
set local role nomaly_system;
grant select on metrics.timescale_points_forever to nomaly_owner;
set local role nomaly_owner;
create view metrics.sql_points_timescale as select time, series_id, value from metrics.timescale_points_forever;
grant select on metrics.sql_points_timescale to nomaly_system;
set local role nomaly_system;

-- The gate, which is empty, is locked before a statement takes its snapshot, like every table that it names; so what compresses
-- commits before that, or after the transaction ends. Only transactions with one snapshot for several statements may find that
-- theirs is too old, and fail.
create view metrics.anomaly_metrics_timescale with (security_barrier) as
  select p.time, s.source_id as job_id, s.metric as metric_name, p.value as metric_value, s.tags
  from metrics.series s join metrics.sql_points_timescale p on p.series_id = s.id
  where (select metrics.login_reads('timescale')) and not exists (select from metrics.timescale_gate)
    and s.tenant_id = (select metrics.login_tenant()) and s.source_kind = 'job' and s.retention = 'forever';
create or replace view metrics.anomaly_metrics with (security_barrier) as
  select time, job_id, metric_name, metric_value, tags from metrics.anomaly_metrics_partitioned
  union all
  select time, job_id, metric_name, metric_value, tags from metrics.anomaly_metrics_timescale;

-- Whether there is a chunk for a point of this time; it is not compressed from now on until the transaction ends, and what was compressed before
-- is seen by statements that begin after this. Fails where it is not, because they have an older snapshot.
create function metrics.lock_chunk(instant timestamptz) returns boolean
  language plpgsql
  set search_path = pg_catalog, pg_temp
  as $$
declare
  micros bigint := extract(epoch from instant) * 1000000;
  name text;
begin
  -- What timescaledb_information.chunks shows, which takes milliseconds for each row.
  select format('%I.%I', c.schema_name, c.table_name) into name
    from _timescaledb_catalog.hypertable h
    join _timescaledb_catalog.dimension d on d.hypertable_id = h.id
    join _timescaledb_catalog.dimension_slice r on r.dimension_id = d.id and r.range_start <= micros and r.range_end > micros
    join _timescaledb_catalog.chunk_constraint k on k.dimension_slice_id = r.id
    join _timescaledb_catalog.chunk c on c.id = k.chunk_id and c.hypertable_id = h.id
    where h.schema_name = 'metrics' and h.table_name = 'timescale_points_forever';
  if name is null then
    return false;
  end if;
  execute format('lock table %s in row exclusive mode', name);
  if current_setting('transaction_isolation') <> 'read committed' then
    perform metrics.require_seen((select last_value from metrics.timescale_compressed));
  end if;
  return true;
end $$;

-- As metrics.insert_into_partition. What may be unpacked in one transaction is limited only where a statement of many rows would be.
create function metrics.insert_into_chunk(instant timestamptz, series integer, number double precision) returns boolean
  language plpgsql
  set search_path = pg_catalog, pg_temp
  set timezone = 'UTC'
  set timescaledb.max_tuples_decompressed_per_dml_transaction = 0
  as $$
begin
  insert into metrics.timescale_points_forever (time, series_id, value) values (instant, series, number) on conflict do nothing;
  if not found then
    return false;
  end if;
  insert into metrics.timescale_late_forever (day, series_id, hours)
    values (date_trunc('day', instant), series, 1 << date_part('hour', instant)::integer);
  return true;
end $$;
revoke execute on function metrics.lock_chunk, metrics.insert_into_chunk from public;

set local role nomaly_owner;
revoke create on schema metrics from nomaly_system;
