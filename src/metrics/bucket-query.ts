import Cursor from 'pg-cursor'
import type { Connection } from '../database/connection.ts'
import { sqlState } from '../database/database-errors.ts'
import { invalidField } from '../errors.ts'
import { requireFewBuckets } from './bucket-limit.ts'
import { bucketStatement } from './bucket-statement.ts'
import { checkBucketWidth, edgesStatement } from './bucket-width.ts'
import { instantLiteral } from './instant-literal.ts'
import type {
  BucketWidth,
  MetricBucket,
  MetricQuery,
  OptionalAggregate,
  PlanSegment,
} from './metric-query.ts'
import { type PointsRead, takeTurn } from './lock-room.ts'
import type { RetentionClass } from './metrics-engine.ts'
import type { MetricsRelations } from './metrics-relations.ts'
import { type MicrosRange, microsRange } from './micros-range.ts'
import { type ClassPlan, daysAround, type Grain, grainOf, planClass, rolledUpRange } from './query-planner.ts'
import { countHours, DAY_MICROS, HOUR_MICROS, NOTHING_LATE, readLate } from './roll-up-ledger.ts'
import { type SelectedSeries, selectionStatement, toSelected } from './series-selection.ts'

const ROWS_AT_ONCE = 1_000

/** Answers of at most so many rows are fetched whole. */
const ROWS_IN_ONE = 10_000

/** Compiling a plan costs more than it saves at these sizes; more memory than the default keeps sorts off the disk. */
const SETTINGS = ['set local jit = off', "set local work_mem = '64MB'"]

/**
 * For few rows, which no second process is worth: the planner takes groups for many, and sorts everything first, which costs a quarter
 * more than hashing; and makes a bitmap for each series, which costs more than the few rows in it.
 */
const FEW_SETTINGS = [
  ...SETTINGS,
  'set local enable_sort = off',
  'set local enable_bitmapscan = off',
  'set local max_parallel_workers_per_gather = 0',
]
const FEW_SERIES_HOURS = 20_000

/** Of late days at most this part of all days of all series is looked up one by one: beyond that reading everything from raw is faster. */
const MOST_LATE = 0.25
const MOST_LATE_DAYS = 50_000
const FEW_LATE_DAYS = 500

/** What a query asks for, checked: its range cut to what points can have. */
export interface CheckedQuery extends Pick<MetricQuery, 'bucket' | 'series' | 'groupBy'> {
  readonly without: readonly OptionalAggregate[]
  readonly range: MicrosRange
}

/** Checks a query. @throws NomalyError `invalid_input` naming the parameter. */
export function checkQuery({
  bucket,
  range,
  series,
  groupBy = 'series',
  without = [],
}: MetricQuery): CheckedQuery {
  checkBucketWidth(bucket)
  if (!['series', 'metric', 'all'].includes(groupBy))
    throw invalidField('groupBy', 'must be series, metric or all')
  if (Number.isNaN(range.fromMs)) throw invalidField('from', 'must be a time')
  if (Number.isNaN(range.toMs)) throw invalidField('to', 'must be a time')
  return {
    bucket,
    series,
    groupBy,
    without,
    range: microsRange(range),
  }
}

/** How a query is answered, class by class. */
export interface PreparedQuery {
  readonly selected: SelectedSeries
  readonly plans: readonly ClassPlan[]
}

/**
 * Resolves and plans a query in a transaction that sees one snapshot: what it finds of the ledger holds for the points that are
 * read afterwards. Starts as `nomaly_app` and leaves as `nomaly_system`; one round trip, and another where points came late.
 */
export async function prepareQuery(
  connection: Connection,
  relations: MetricsRelations,
  query: CheckedQuery,
): Promise<PreparedQuery> {
  const { range, bucket } = query
  const isEmpty = range.fromMicros >= range.toMicros
  const selection = selectionStatement(query.series)
  const days = isEmpty ? undefined : daysAround(range)
  const [found, , bounds, edges] = await inOneTrip(connection, relations, bucket, [
    selection ?? 'select where false',
    'set local role nomaly_system',
    days === undefined
      ? 'select where false'
      : `select * from ${relations.closedHours}(${instantLiteral(days.fromMicros)}, ${instantLiteral(days.toMicros)})`,
    ...(isEmpty || 'seconds' in bucket
      ? []
      : [edgesStatement(bucket, instantLiteral(range.fromMicros), instantLiteral(range.toMicros))]),
  ])
  const selected = toSelected(found!, query.groupBy)
  if (selected.count === 0 || isEmpty) return { selected, plans: [] }
  const grain = 'seconds' in bucket ? grainOf(bucket) : calendarGrain(edges!)
  const ledger = new Map(
    (bounds as [RetentionClass, number, boolean][]).map(([retention, closedMicros, isMarked]) => [
      retention,
      { closedMicros, isMarked },
    ]),
  )
  const plans: ClassPlan[] = []
  for (const [retention, ids] of selected.byClass) {
    const { closedMicros, isMarked } = ledger.get(retention)!
    const rolled = rolledUpRange(range, grain, closedMicros)
    const late =
      rolled === undefined || !isMarked
        ? NOTHING_LATE
        : await readLate(
            connection,
            relations,
            retention,
            ids,
            daysAround(rolled),
            mostLate(ids.length, daysAround(rolled)),
          )
    plans.push(planClass(retention, ids, range, grain, closedMicros, late))
  }
  return { selected, plans }
}

/**
 * Answers a prepared query as `nomaly_system`. A small answer comes back whole, and the transaction has ended then; of a large one `emit` sets
 * the pace.
 */
export async function queryBuckets(
  connection: Connection,
  relations: MetricsRelations,
  query: CheckedQuery,
  { selected, plans }: PreparedQuery,
  emit: (buckets: MetricBucket[]) => Promise<void>,
  end?: 'commit',
): Promise<MetricBucket[]> {
  if (plans.length === 0) return []
  await takeTurn(connection, relations, plans.flatMap(readsOf))
  const most = await requireFewBuckets(connection, relations, query, selected)
  const statement = bucketStatement(relations, plans, query.bucket, selected.groups, query.without)
  const isFew = selected.groups !== undefined && seriesHours(plans) <= FEW_SERIES_HOURS
  const settings = isFew ? FEW_SETTINGS : SETTINGS
  const toBucket = bucketReader(selected)
  if (most <= ROWS_IN_ONE) {
    // Through a cursor PostgreSQL does not let several processes work on a statement.
    const answers = await connection.batch([...settings, statement], end)
    return (answers.at(-1) as Row[]).map(toBucket)
  }
  await connection.batch(settings)
  const cursor = connection.client.query(new Cursor<Row>(statement, [], { rowMode: 'array' }))
  try {
    for (;;) {
      const rows = await cursor.read(ROWS_AT_ONCE)
      if (rows.length === 0) return []
      await emit(rows.map(toBucket))
    }
  } finally {
    await cursor.close()
  }
}

/** How many hours of series a query is about. */
function seriesHours(plans: readonly ClassPlan[]): number {
  const hoursOf = ({ fromMicros, toMicros }: MicrosRange): number => (toMicros - fromMicros) / HOUR_MICROS
  return plans.reduce(
    (sum, { ids, segments }) => sum + ids.length * segments.reduce((hours, one) => hours + hoursOf(one), 0),
    0,
  )
}

/** What a plan reads of raw points. */
function readsOf({ retention, segments, late }: ClassPlan): PointsRead[] {
  const ranges: MicrosRange[] = segments.filter(({ source }) => source === 'raw')
  if (late.ids.length > 0)
    ranges.push({
      fromMicros: late.days.reduce((a, b) => Math.min(a, b)),
      toMicros: late.days.reduce((a, b) => Math.max(a, b)) + DAY_MICROS,
    })
  return ranges.map(({ fromMicros, toMicros }) => ({ retention, fromMicros, toMicros }))
}

/** A plan in the words of the port. */
export function describePlans(plans: readonly ClassPlan[]): PlanSegment[] {
  return plans.flatMap(({ retention, ids, segments, late }) => {
    const described: PlanSegment[] = segments.map(({ fromMicros, toMicros, ...rest }) => ({
      retention,
      ...rest,
      fromMs: fromMicros / 1000,
      toMs: toMicros / 1000,
      series: ids.length,
    }))
    if (late.ids.length > 0)
      described.push({
        retention,
        source: 'raw',
        reason: 'late',
        fromMs: late.days.reduce((a, b) => Math.min(a, b)) / 1000,
        toMs: (late.days.reduce((a, b) => Math.max(a, b)) + DAY_MICROS) / 1000,
        series: new Set(late.ids).size,
        hours: countHours(late),
      })
    return described
  })
}

function mostLate(series: number, { fromMicros, toMicros }: MicrosRange): number {
  const days = (series * (toMicros - fromMicros)) / DAY_MICROS
  return Math.floor(Math.min(MOST_LATE_DAYS, Math.max(FEW_LATE_DAYS, days * MOST_LATE)))
}

/** Runs the first statements of a query, after the lock that has to come before its snapshot. */
async function inOneTrip(
  connection: Connection,
  { readersGate }: MetricsRelations,
  bucket: BucketWidth,
  statements: readonly string[],
): Promise<unknown[][][]> {
  const gate = readersGate === undefined ? [] : [`lock table ${readersGate} in access share mode`]
  try {
    return (await connection.batch([...gate, ...statements])).slice(gate.length)
  } catch (error) {
    // The database knows fewer zones than this process.
    if ('seconds' in bucket || sqlState(error) !== '22023') throw error
    throw invalidField('timeZone', `the database does not know ${bucket.timeZone}`)
  }
}

/** Reads what {@link edgesStatement} answers. */
function calendarGrain([row]: readonly unknown[][]): Grain {
  const [areHours, areDays] = row as [boolean, boolean]
  if (areDays) return 'daily'
  return areHours ? 'hourly' : 'none'
}

type Row = [
  group: number,
  startSeconds: number,
  count: number,
  nonFinite: number,
  sum: number | null,
  min: number | null,
  max: number | null,
  last: number | null,
  sumSquares: number | null,
]

function bucketReader({ names }: SelectedSeries): (row: Row) => MetricBucket {
  const areGroups = names.size > 0
  return ([seriesId, startSeconds, count, nonFinite, sum, min, max, last, sumSquares]) => ({
    seriesId,
    ...(areGroups ? { group: names.get(seriesId)! } : {}),
    startMs: startSeconds * 1000,
    count,
    nonFinite,
    sum,
    min,
    max,
    last,
    sumSquares,
  })
}
