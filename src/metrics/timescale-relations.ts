import type { MetricsRelations } from './metrics-relations.ts'

/** The names of hypertables and continuous aggregates as the migrations give them; beside those of the other engine. */
export const TIMESCALE_RELATIONS: MetricsRelations = {
  points: (retention) => `metrics.timescale_points_${retention}`,
  hourly: (retention) => `metrics.timescale_hourly_${retention}`,
  daily: (retention) => `metrics.timescale_daily_${retention}`,
  late: (retention) => `metrics.timescale_late_${retention}`,
  state: 'metrics.timescale_state',
  readersGate: 'metrics.timescale_gate',
}
