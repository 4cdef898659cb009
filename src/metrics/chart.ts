import type { Connection } from '../database/connection.ts'
import { invalidField } from '../errors.ts'
import { float8Array, timestampArray } from './array-encoder.ts'
import { checkQuery, prepareQuery, queryBuckets } from './bucket-query.ts'
import { type ChartPoint, ChartReduction } from './chart-reduction.ts'
import { instantLiteral } from './instant-literal.ts'
import { type BucketWidth, type ChartPoints, MIN_CHART_POINTS, type MetricBucket } from './metric-query.ts'
import type { RetentionClass, SeriesId, TimeRange } from './metrics-engine.ts'
import { takeTurn } from './lock-room.ts'
import type { MetricsRelations } from './metrics-relations.ts'
import { microsRange } from './micros-range.ts'
import { ownedSeries } from './owned-series.ts'
import { readTail, scanPoints } from './point-scanner.ts'

const HOUR_MS = 3_600_000
const DAY_MS = 24 * HOUR_MS
const LONGEST_MONTH_MS = 31 * DAY_MS

/** Up to so many raw points for each point of the chart are read as they are; of more, roll-ups say where the extremes are. */
const RAW_POINTS_PER_POINT = 20

/** A chart may be so much coarser than asked for that roll-ups can draw it. */
const COARSENING = 4

/** Longer ranges are drawn from days instead of hours. */
const MOST_HOURS = 50_000

interface OneSeries {
  readonly connection: Connection
  readonly relations: MetricsRelations
  readonly id: SeriesId
  readonly retention: RetentionClass
}

/** As `MetricsEngine.chart`, in a transaction that sees one snapshot; starts as `nomaly_app` and leaves as `nomaly_system`. */
export async function readChart(
  connection: Connection,
  relations: MetricsRelations,
  id: SeriesId,
  range: TimeRange,
  maxPoints: number,
): Promise<ChartPoints> {
  if (!Number.isInteger(maxPoints) || maxPoints < MIN_CHART_POINTS)
    throw invalidField('maxPoints', `must be a whole number of at least ${MIN_CHART_POINTS}`)
  const retention = (await ownedSeries(connection, [id])).get(id)
  if (retention === undefined) return toChart(id, [], false)
  const series: OneSeries = { connection, relations, id, retention }
  // Summed up from roll-ups, where there are any: no point is read for it.
  const all = await buckets(series, range, { unit: 'month', timeZone: 'UTC' })
  await connection.become('nomaly_system')
  const count = all.reduce((sum, bucket) => sum + bucket.count + bucket.nonFinite, 0)
  const [firstMonth, lastMonth] = [all[0], all.at(-1)]
  if (firstMonth === undefined || lastMonth === undefined) return toChart(id, [], false)
  // What has no points is not looked into: every partition or chunk of a range costs, also where nothing is found in it.
  const found = {
    fromMs: Math.max(range.fromMs, firstMonth.startMs),
    toMs: Math.min(range.toMs, lastMonth.startMs + LONGEST_MONTH_MS),
  }
  if (count <= maxPoints)
    return { ...(await readTail(connection, relations, series, found, maxPoints)), isReduced: false }
  await takeTurn(connection, relations, [{ retention, ...microsRange(found) }])
  const [first, last] = [await finiteEnd(series, found, 'asc'), await finiteEnd(series, found, 'desc')]
  if (first === undefined || last === undefined) return toChart(id, [], true)
  const reduction = new ChartReduction(first, last, maxPoints)
  const hours = (last.timeMs - first.timeMs) / HOUR_MS
  if (count <= RAW_POINTS_PER_POINT * maxPoints || hours * 2 * COARSENING < maxPoints)
    await reduceRaw(series, { fromMs: first.timeMs, toMs: last.timeMs + 0.001 }, reduction)
  else
    await reduceRolledUp(
      series,
      { fromMs: first.timeMs, toMs: last.timeMs + 0.001 },
      hours > MOST_HOURS ? DAY_MS : HOUR_MS,
      reduction,
    )
  return toChart(id, reduction.points(), true)
}

async function reduceRaw(series: OneSeries, range: TimeRange, reduction: ChartReduction): Promise<void> {
  await scanPoints(series.connection, series.relations, [series], range, async ({ timesMs, values }) => {
    for (let i = 0; i < timesMs.length; i++) reduction.add(timesMs[i]!, values[i]!)
  })
}

/** Finds the roll-ups that hold the extremes of each stretch, and then where in them these are. */
async function reduceRolledUp(
  series: OneSeries,
  range: TimeRange,
  widthMs: number,
  reduction: ChartReduction,
): Promise<void> {
  await series.connection.become('nomaly_app')
  for (const { startMs, min, max } of await buckets(series, range, { seconds: widthMs / 1000 })) {
    if (min === null || max === null) continue
    const atMs = Math.max(startMs, range.fromMs)
    reduction.add(atMs, min)
    reduction.add(atMs, max)
  }
  const found = reduction.extremes()
  const { connection, relations, id, retention } = series
  const starts = Float64Array.from(found, ({ timeMs }) => (timeMs - (timeMs % widthMs)) * 1000)
  const within = `time >= ${instantLiteral(Math.round(range.fromMs * 1000))} and time < ${instantLiteral(Math.round(range.toMs * 1000))}`
  const rows = await connection.query<{ seconds: number }>(
    `select date_part('epoch', p.time) as seconds
     from unnest($1::timestamptz[], $2::float8[]) with ordinality e(start, value, n)
     cross join lateral (
       select time from ${relations.points(retention)} where series_id = ${id} and ${within} and value = e.value
         and time >= e.start and time < e.start + interval '${widthMs / 1000} seconds' order by time limit 1) p
     order by e.n`,
    [timestampArray(starts), float8Array(Float64Array.from(found, ({ value }) => value))],
  )
  reduction.replaceTimes(rows.map(({ seconds }) => Math.round(seconds * 1e6) / 1000))
}

async function buckets(series: OneSeries, range: TimeRange, bucket: BucketWidth): Promise<MetricBucket[]> {
  const { connection, relations, id } = series
  const query = checkQuery({ series: [id], range, bucket, freshness: 'latest' })
  const prepared = await prepareQuery(connection, relations, query)
  const all: MetricBucket[] = []
  all.push(
    ...(await queryBuckets(connection, relations, query, prepared, async (some) => void all.push(...some))),
  )
  return all
}

/** The first or last finite point in a range. */
async function finiteEnd(
  { connection, relations, id, retention }: OneSeries,
  range: TimeRange,
  direction: 'asc' | 'desc',
): Promise<ChartPoint | undefined> {
  const micros = microsRange(range)
  const [row] = await connection.query<{ seconds: number; value: number }>(
    `select date_part('epoch', time) as seconds, value from ${relations.points(retention)}
     where series_id = ${id} and abs(value) < 'Infinity'
       and time >= ${instantLiteral(micros.fromMicros)} and time < ${instantLiteral(micros.toMicros)}
     order by time ${direction} limit 1`,
  )
  return row === undefined ? undefined : { timeMs: Math.round(row.seconds * 1e6) / 1000, value: row.value }
}

function toChart(seriesId: SeriesId, points: readonly ChartPoint[], isReduced: boolean): ChartPoints {
  return {
    seriesId,
    timesMs: Float64Array.from(points, ({ timeMs }) => timeMs),
    values: Float64Array.from(points, ({ value }) => value),
    isReduced,
  }
}
