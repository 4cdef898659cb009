import type { MetricsEngine, RetentionClass } from './metrics-engine.ts'

/** What the relations of an engine are called: those that both engines' shared parts read and write. */
export interface MetricsRelations {
  /** The engine that keeps its points in these. */
  readonly engine: MetricsEngine['name']
  /** Points: (time, series_id, value), with (series_id, time) unique. */
  points(retention: RetentionClass): string
  /**
   * Roll-ups by UTC hour and by UTC day: (series_id, bucket, count, non_finite, sum, sum_squares, min, max, last, last_time), at most
   * one row for each series and bucket.
   */
  hourly(retention: RetentionClass): string
  daily(retention: RetentionClass): string
  /** Marks of hours whose roll-ups are behind: (id, day, series_id, hours). */
  late(retention: RetentionClass): string
  /** Up to where hours are closed: (retention, closing_until, closed_until), one row for each class. */
  readonly state: string
  /** The function of (timestamptz, timestamptz) that answers rows of (retention, closed_until in epoch microseconds, whether these days have marks). */
  readonly closedHours: string
  /** The aggregate that answers the newest of `finite` by `time`; left out where looking it up by its time is the faster way. */
  readonly lastAggregate?: string
  /** The statement that counts the tables that hold the points between two instants, which are expressions. */
  countTables(retention: RetentionClass, from: string, to: string): string
  /** How many locks a read takes on each of them, with what belongs to it. */
  readonly locksPerTable: number
  /** A table that readers lock shared before their snapshot; left out where nothing has to be kept from happening between it and a read. */
  readonly readersGate?: string
}

/** The names as the migrations give them. */
export const METRICS_RELATIONS: MetricsRelations = {
  engine: 'partitioned',
  points: (retention) => `metrics.points_${retention}`,
  hourly: (retention) => `metrics.hourly_${retention}`,
  daily: (retention) => `metrics.daily_${retention}`,
  late: (retention) => `metrics.late_${retention}`,
  state: 'metrics.roll_up_state',
  closedHours: 'metrics.closed_hours',
  countTables: (retention, from, to) =>
    `select count(*) from metrics.partitions where retention = '${retention}' and lower < ${to} and upper > ${from}`,
  locksPerTable: 2,
}
