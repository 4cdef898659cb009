import { invalidField } from '../errors.ts'
import type { BucketWidth } from './metric-query.ts'
import { POINT_LIMITS } from './metrics-engine.ts'

/** IANA names only: PostgreSQL and JavaScript would read an offset or a rule, such as +02 or XYZ-2, with different signs. */
const ZONE_NAME = /^[A-Za-z][A-Za-z0-9_+-]*(\/[A-Za-z0-9_+-]+)*$/

/** The least that a day, week or month can last, in seconds: clocks may be put forward in it by an hour. */
const LEAST_SECONDS = { day: 82_800, week: 7 * 86_400 - 3_600, month: 28 * 86_400 - 3_600 } as const

/** Checks a width. @throws NomalyError `invalid_input` naming the parameter. */
export function checkBucketWidth(bucket: BucketWidth): void {
  if ('seconds' in bucket) {
    const longest = POINT_LIMITS.maxTimeMs / 1000
    if (!Number.isInteger(bucket.seconds) || bucket.seconds < 1 || bucket.seconds > longest)
      throw invalidField('bucketSeconds', `must be a whole number of seconds from 1 to ${longest}`)
    return
  }
  if (!Object.hasOwn(LEAST_SECONDS, bucket.unit)) throw invalidField('unit', 'must be day, week or month')
  if (!isTimeZone(bucket.timeZone))
    throw invalidField('timeZone', 'must be the name of a time zone, such as Europe/Berlin or UTC')
}

/** The narrowest that a bucket of this width can be, in seconds. */
export function leastSeconds(bucket: BucketWidth): number {
  return 'seconds' in bucket ? bucket.seconds : LEAST_SECONDS[bucket.unit]
}

/** SQL for the start of the bucket that `instant`, SQL of type timestamptz, lies in. The width must have been checked. */
export function bucketStart(bucket: BucketWidth, instant: string): string {
  return 'seconds' in bucket
    ? `date_bin(interval '${bucket.seconds} seconds', ${instant}, timestamptz '1970-01-01Z')`
    : `date_trunc('${bucket.unit}', ${instant}, '${bucket.timeZone}')`
}

/**
 * A statement that answers whether all edges of calendar buckets in a range are at whole hours and at whole days of UTC, as `hours` and
 * `days`. `from` and `to` are SQL of type timestamptz.
 */
export function edgesStatement(
  { unit, timeZone }: Extract<BucketWidth, { unit: string }>,
  from: string,
  to: string,
): string {
  const local = (instant: string) => `(${instant} at time zone '${timeZone}')`
  return `select bool_and(mod(edge, 3600) = 0) as hours, bool_and(mod(edge, 86400) = 0) as days
    from generate_series(date_trunc('${unit}', ${local(from)}), ${local(to)} + interval '1 ${unit}', interval '1 ${unit}') g(start),
      lateral (select date_part('epoch', start at time zone '${timeZone}')::int8 as edge) e`
}

function isTimeZone(name: string): boolean {
  if (!ZONE_NAME.test(name)) return false
  try {
    new Intl.DateTimeFormat('en', { timeZone: name })
    return true
  } catch {
    return false
  }
}
