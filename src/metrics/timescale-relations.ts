import type { MetricsRelations } from './metrics-relations.ts'

/** The names of hypertables and continuous aggregates as the migrations give them; beside those of the other engine. */
export const TIMESCALE_RELATIONS: MetricsRelations = {
  engine: 'timescale',
  points: (retention) => `metrics.timescale_points_${retention}`,
  hourly: (retention) => `metrics.timescale_hourly_${retention}`,
  daily: (retention) => `metrics.timescale_daily_${retention}`,
  late: (retention) => `metrics.timescale_late_${retention}`,
  state: 'metrics.timescale_state',
  closedHours: 'metrics.timescale_closed_hours',
  // What timescaledb_information.chunks shows, which takes milliseconds for each row.
  countTables: (retention, from, to) =>
    `select count(*) from _timescaledb_catalog.hypertable h
       join _timescaledb_catalog.dimension d on d.hypertable_id = h.id
       join _timescaledb_catalog.dimension_slice r on r.dimension_id = d.id
     where h.schema_name = 'metrics' and h.table_name = 'timescale_points_${retention}'
       and r.range_start < extract(epoch from ${to}) * 1000000 and r.range_end > extract(epoch from ${from}) * 1000000`,
  // With its key, and what it is compressed in, with the key of that.
  locksPerTable: 4,
  // By key it would unpack as many points as lie together, for each bucket anew.
  lastAggregate: 'public.last(finite, time) filter (where finite is not null)',
  readersGate: 'metrics.timescale_gate',
}
