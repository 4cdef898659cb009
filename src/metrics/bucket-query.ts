import Cursor from 'pg-cursor'
import { NomalyError, invalidField } from '../errors.ts'
import type { Connection } from '../database/connection.ts'
import { int4Array } from './array-encoder.ts'
import { instantLiteral } from './instant-literal.ts'
import {
  type MetricBucket,
  type MetricQuery,
  POINT_LIMITS,
  type RetentionClass,
  type SeriesId,
} from './metrics-engine.ts'

/** Most buckets that one query may have, over all its series. */
export const MAX_BUCKETS_PER_QUERY = 1_000_000

const ROWS_AT_ONCE = 1_000

/** Squares of smaller numbers are not normal floats any more, and PostgreSQL fails on the underflow: they count as 0. */
const SMALLEST_SQUARED = 1.5e-154

/** A query that was checked: its range cut to what points can have, in epoch microseconds. */
export interface BucketPlan {
  readonly bucketSeconds: number
  readonly fromMicros: number
  readonly toMicros: number
}

/** Checks a query. @throws NomalyError `invalid_input` naming the parameter. */
export function planBuckets(query: MetricQuery): BucketPlan {
  const { bucketSeconds, range } = query
  const longest = POINT_LIMITS.maxTimeMs / 1000
  if (!Number.isInteger(bucketSeconds) || bucketSeconds < 1 || bucketSeconds > longest)
    throw invalidField('bucketSeconds', `must be a whole number of seconds from 1 to ${longest}`)
  if (Number.isNaN(range.fromMs)) throw invalidField('from', 'must be a time')
  if (Number.isNaN(range.toMs)) throw invalidField('to', 'must be a time')
  return {
    bucketSeconds,
    fromMicros: Math.ceil(Math.max(range.fromMs, POINT_LIMITS.minTimeMs) * 1000),
    toMicros: Math.ceil(Math.min(range.toMs, POINT_LIMITS.maxTimeMs + 1) * 1000),
  }
}

/** Aggregates the series, given by class, from raw points as `nomaly_system`; `emit` sets the pace. */
export async function queryBuckets(
  connection: Connection,
  series: ReadonlyMap<SeriesId, RetentionClass>,
  plan: BucketPlan,
  emit: (bucket: MetricBucket[]) => Promise<void>,
): Promise<void> {
  if (series.size === 0 || plan.fromMicros >= plan.toMicros) return
  const classes = [...Map.groupBy(series.keys(), (id) => series.get(id)!)]
  const parameters = classes.map(([, ids]) => int4Array(Int32Array.from(ids)))
  const names = classes.map(([retention]) => retention)
  const widest = Math.ceil((plan.toMicros - plan.fromMicros) / 1_000_000 / plan.bucketSeconds) + 1
  if (series.size * widest > MAX_BUCKETS_PER_QUERY) await refuseTooMany(connection, names, parameters, plan)
  // Compiling a plan costs more than it saves at these sizes; more memory than the default keeps sorts off the disk.
  await connection.query("set local jit = off; set local work_mem = '64MB'")
  const cursor = connection.client.query(
    new Cursor<Row>(bucketStatement(names, plan), parameters, { rowMode: 'array' }),
  )
  try {
    for (;;) {
      const rows = await cursor.read(ROWS_AT_ONCE)
      if (rows.length === 0) return
      await emit(rows.map(toBucket))
    }
  } finally {
    await cursor.close()
  }
}

type Row = [
  seriesId: number,
  startSeconds: number,
  count: number,
  nonFinite: number,
  sum: number | null,
  min: number | null,
  max: number | null,
  last: number | null,
  sumSquares: number | null,
]

function toBucket([
  seriesId,
  startSeconds,
  count,
  nonFinite,
  sum,
  min,
  max,
  last,
  sumSquares,
]: Row): MetricBucket {
  return {
    seriesId,
    startMs: startSeconds * 1000,
    count,
    nonFinite,
    sum,
    min,
    max,
    last,
    sumSquares,
  }
}

/** One branch for each retention class that has a series in the query, usually one; parameter n holds the ids of class n. */
function branches(
  classes: readonly RetentionClass[],
  branch: (table: string, ids: string) => string,
): string {
  return classes
    .map((retention, i) => branch(`metrics.points_${retention}`, `$${i + 1}::int4[]`))
    .join(' union all ')
}

function within(plan: BucketPlan): string {
  return `time >= ${instantLiteral(plan.fromMicros)} and time < ${instantLiteral(plan.toMicros)}`
}

function bucketStatement(classes: readonly RetentionClass[], plan: BucketPlan): string {
  const points = branches(
    classes,
    (table, ids) =>
      `select series_id, time, value from ${table} where series_id = any(${ids}) and ${within(plan)}`,
  )
  const last = branches(
    classes,
    (table) =>
      `select value from ${table} where series_id = b.series_id and time = b.last_time and ${within(plan)}`,
  )
  // NaN is greater than everything, so that one comparison tells the finite values.
  return `
    select b.series_id, extract(epoch from b.start)::float8, b.count::float8, b.non_finite::float8,
           b.sum, b.min, b.max, l.value, b.sum_squares
    from (
      select series_id, date_bin(interval '${plan.bucketSeconds} seconds', time, timestamptz '1970-01-01Z') as start,
             count(finite) as count, count(*) - count(finite) as non_finite,
             sum(finite) as sum, min(finite) as min, max(finite) as max,
             sum(case when abs(finite) < ${SMALLEST_SQUARED} then 0 else finite * finite end) as sum_squares,
             max(time) filter (where finite is not null) as last_time
      from (select series_id, time, case when abs(value) < 'Infinity' then value end as finite from (${points}) p) f
      group by 1, 2
    ) b
    left join lateral (${last} limit 1) l on true
    order by 1, 2`
}

/** Looks how far apart the first and last points really are. @throws NomalyError `too_large` when that is still too much. */
async function refuseTooMany(
  connection: Connection,
  classes: readonly RetentionClass[],
  parameters: readonly unknown[],
  plan: BucketPlan,
): Promise<void> {
  const end = (table: string, direction: string) =>
    `lateral (select time from ${table} where series_id = o.id and ${within(plan)} order by time ${direction} limit 1)`
  const bucket = (side: string) => `floor(extract(epoch from ${side}.time)::float8 / ${plan.bucketSeconds})`
  const spans = branches(
    classes,
    (table, ids) => `select ${bucket('last')} - ${bucket('first')} + 1 as buckets from unnest(${ids}) o(id)
       cross join ${end(table, 'asc')} first cross join ${end(table, 'desc')} last`,
  )
  const rows = await connection.query<{ most: number | null }>(
    `select sum(buckets) as most from (${spans}) s`,
    parameters,
  )
  const most = rows[0]?.most ?? 0
  if (most > MAX_BUCKETS_PER_QUERY)
    throw new NomalyError('too_large', `This query would answer up to ${most} buckets.`, {
      hint: `Ask for wider buckets, a shorter range or fewer series: at most ${MAX_BUCKETS_PER_QUERY} buckets.`,
      problems: [{ field: 'bucketSeconds', reason: 'too narrow for this range' }],
    })
}
