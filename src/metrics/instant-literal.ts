/** An instant from 1970 on, in epoch microseconds, as an SQL literal: bounds that are literals prune partitions while planning. */
export function instantLiteral(micros: number): string {
  return `timestamptz '${instantText(micros)}'`
}

/** An instant from 1970 on, in epoch microseconds, in ISO 8601. */
export function instantText(micros: number): string {
  const seconds = new Date(Math.floor(micros / 1000)).toISOString().slice(0, 19)
  return `${seconds}.${String(micros % 1_000_000).padStart(6, '0')}Z`
}

/** The start of the UTC day of an instant, as an expression of SQL. */
export function utcDay(instant: string): string {
  return `date_bin(interval '1 day', ${instant}, timestamptz '1970-01-01Z')`
}

/** A condition on a column of times, with bounds, in epoch microseconds, as literals: the planner leaves out the partitions and chunks beside them. */
export function isWithin(column: string, fromMicros: number, toMicros: number): string {
  return `${column} >= ${instantLiteral(fromMicros)} and ${column} < ${instantLiteral(toMicros)}`
}
