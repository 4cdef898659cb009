/** An instant from 1970 on, in epoch microseconds, as an SQL literal: bounds that are literals prune partitions while planning. */
export function instantLiteral(micros: number): string {
  return `timestamptz '${instantText(micros)}'`
}

/** An instant from 1970 on, in epoch microseconds, in ISO 8601. */
export function instantText(micros: number): string {
  const seconds = new Date(Math.floor(micros / 1000)).toISOString().slice(0, 19)
  return `${seconds}.${String(micros % 1_000_000).padStart(6, '0')}Z`
}
