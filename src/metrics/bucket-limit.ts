import type { Connection } from '../database/connection.ts'
import { NomalyError } from '../errors.ts'
import { int4Array } from './array-encoder.ts'
import type { CheckedQuery } from './bucket-query.ts'
import { leastSeconds } from './bucket-width.ts'
import { instantLiteral } from './instant-literal.ts'
import type { MetricsRelations } from './metrics-relations.ts'
import type { SelectedSeries } from './series-selection.ts'

/** Most buckets that one query may have, over all its series or groups. */
export const MAX_BUCKETS_PER_QUERY = 1_000_000

/**
 * Answers how many buckets a query has at most. For a range that would have too many looks how far apart the first and last points really
 * are, as `nomaly_system`.
 * @throws NomalyError `too_large` when that is still too much.
 */
export async function requireFewBuckets(
  connection: Connection,
  relations: MetricsRelations,
  { bucket, range }: CheckedQuery,
  { byClass, count, groups, names }: SelectedSeries,
): Promise<number> {
  const seconds = leastSeconds(bucket)
  const answers = groups === undefined ? count : names.size
  const widest = Math.ceil((range.toMicros - range.fromMicros) / 1_000_000 / seconds) + 1
  if (answers * widest <= MAX_BUCKETS_PER_QUERY) return answers * widest
  const within = `time >= ${instantLiteral(range.fromMicros)} and time < ${instantLiteral(range.toMicros)}`
  const classes = [...byClass]
  const spans = classes.map(([retention], i) => {
    const end = (direction: string) =>
      `lateral (select floor(date_part('epoch', time) / ${seconds}) as bucket from ${relations.points(retention)}
        where series_id = o.id and ${within} order by time ${direction} limit 1)`
    return `select first.bucket as first, last.bucket as last from unnest($${i + 1}::int4[]) o(id)
      cross join ${end('asc')} first cross join ${end('desc')} last`
  })
  const buckets = groups === undefined ? 'sum(last - first + 1)' : `(max(last) - min(first) + 1) * ${answers}`
  const [row] = await connection.query<{ most: number | null }>(
    `select ${buckets} as most from (${spans.join(' union all ')}) s`,
    classes.map(([, ids]) => int4Array(ids)),
  )
  const most = row?.most ?? 0
  if (most > MAX_BUCKETS_PER_QUERY)
    throw new NomalyError('too_large', `This query would answer up to ${most} buckets.`, {
      hint: `Ask for wider buckets, a shorter range or fewer series: at most ${MAX_BUCKETS_PER_QUERY} buckets.`,
      problems: [{ field: 'bucketSeconds', reason: 'too narrow for this range' }],
    })
  return most
}
