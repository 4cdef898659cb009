import type { BucketWidth } from '../../src/metrics/metric-query.ts'

/**
 * The start of the bucket that an instant lies in, in epoch milliseconds, from the time zones that JavaScript has of its own. For zones whose
 * clocks do not change at midnight.
 */
export function bucketStartMs(timeMs: number, bucket: BucketWidth): number {
  if ('seconds' in bucket) return Math.floor(timeMs / (bucket.seconds * 1000)) * bucket.seconds * 1000
  const { unit, timeZone } = bucket
  const local = new Date(Math.floor(timeMs) + offsetMs(Math.floor(timeMs), timeZone))
  const [year, month, day] = [local.getUTCFullYear(), local.getUTCMonth(), local.getUTCDate()]
  if (unit === 'month') return utcOf(Date.UTC(year, month, 1), timeZone)
  // Weeks start on Monday.
  const back = unit === 'week' ? (local.getUTCDay() + 6) % 7 : 0
  return utcOf(Date.UTC(year, month, day - back), timeZone)
}

/** The instant at which clocks show a local time, given as if it were UTC. */
function utcOf(localMs: number, timeZone: string): number {
  const guess = localMs - offsetMs(localMs, timeZone)
  return localMs - offsetMs(guess, timeZone)
}

const formats = new Map<string, Intl.DateTimeFormat>()

/** How far clocks are ahead of UTC. */
function offsetMs(timeMs: number, timeZone: string): number {
  let format = formats.get(timeZone)
  if (format === undefined) {
    format = new Intl.DateTimeFormat('en', {
      timeZone,
      hourCycle: 'h23',
      year: 'numeric',
      month: 'numeric',
      day: 'numeric',
      hour: 'numeric',
      minute: 'numeric',
      second: 'numeric',
    })
    formats.set(timeZone, format)
  }
  const part = Object.fromEntries(
    format.formatToParts(timeMs).map(({ type, value }) => [type, Number(value)]),
  )
  const local = Date.UTC(
    part['year']!,
    part['month']! - 1,
    part['day'],
    part['hour'],
    part['minute'],
    part['second'],
  )
  return local - Math.floor(timeMs / 1000) * 1000
}
