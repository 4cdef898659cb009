/** An instant from 1970 on, in epoch microseconds, as an SQL literal: bounds that are literals prune partitions while planning. */
export function instantLiteral(micros: number): string {
  const seconds = new Date(Math.floor(micros / 1000)).toISOString().slice(0, 19)
  return `timestamptz '${seconds}.${String(micros % 1_000_000).padStart(6, '0')}Z'`
}
