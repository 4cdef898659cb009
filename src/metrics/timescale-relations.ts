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
  // By key it would unpack as many points as lie together, for each bucket anew.
  lastAggregate: 'public.last(finite, time) filter (where finite is not null)',
  readersGate: 'metrics.timescale_gate',
}
