import { int4Literal, timestampLiteral } from './array-text.ts'
import { bucketStart } from './bucket-width.ts'
import { instantLiteral } from './instant-literal.ts'
import type { BucketWidth } from './metric-query.ts'
import type { MetricsRelations } from './metrics-relations.ts'
import { type ClassPlan, type MicrosRange, type Segment, stretchesOf } from './query-planner.ts'
import { DAY_MICROS, HOUR_MICROS } from './roll-up-ledger.ts'

/** Squares of smaller numbers are not normal floats any more, and PostgreSQL fails on the underflow: they count as 0. */
const SMALLEST_SQUARED = 1.5e-154

/** What a bucket is made of, of the finite values and of all: columns as roll-ups have them. `value` must be called that. */
export const AGGREGATES = `count(finite) as count, count(*) - count(finite) as non_finite, sum(finite) as sum,
  sum(case when abs(finite) < ${SMALLEST_SQUARED} then 0 else finite * finite end) as sum_squares,
  min(finite) as min, max(finite) as max, max(time) filter (where finite is not null) as last_time`

/** The finite value or null. NaN is greater than everything, so that one comparison tells. */
export const FINITE = `case when abs(value) < 'Infinity' then value end as finite`

/** Groups of series: `ids` and, at the same index, the number that stands for the group. */
export interface SeriesGroups {
  readonly ids: Int32Array
  readonly groups: Int32Array
}

/**
 * The one statement that answers a query, by group and time: (group, start in epoch seconds, count, non-finite, sum, min, max, last, sum of
 * squares), numbers as float8. Without `groups` each series is one. It takes no parameters: what is put in is numbers.
 */
export function bucketStatement(
  relations: MetricsRelations,
  plans: readonly ClassPlan[],
  bucket: BucketWidth,
  groups: SeriesGroups | undefined,
): string {
  const raw: string[] = []
  const lasts: string[] = []
  const parts: string[] = []
  for (const plan of plans) {
    const late = plan.late.ids.length === 0 ? undefined : lateTables(plan)
    const points = relations.points(plan.retention)
    const ofRaw = plan.segments.filter(({ source }) => source === 'raw')
    for (const segment of ofRaw)
      raw.push(
        `select series_id, time, value from ${points} where series_id ${among(plan.ids)} and ${within('time', segment)}`,
      )
    if (late !== undefined)
      raw.push(`select p.series_id, p.time, p.value from ${late.stretches} cross join lateral (
        select series_id, time, value from ${points}
        where series_id = l.id and time >= l.lower and time < l.upper and ${within('time', late.span)} offset 0) p`)
    const spans = [...ofRaw, ...(late === undefined ? [] : [late.span])]
    if (spans.length > 0)
      lasts.push(`select value from ${points} where series_id = b.series_id and time = b.last_time
        and ${within('time', around(spans))}`)
    for (const segment of plan.segments)
      if (segment.source !== 'raw') parts.push(rolledUp(relations, plan, segment, late, bucket))
    const daily = plan.segments.find(({ source }) => source === 'daily')
    if (late !== undefined && daily !== undefined)
      parts.push(`select h.series_id, ${bucketStart(bucket, 'h.bucket')}, ${ROLLED_UP} from ${late.days} cross join lateral (
        select * from ${relations.hourly(plan.retention)}
        where series_id = l.id and bucket >= l.day and bucket < l.day + interval '24 hours'
          and ${within('bucket', daily)} offset 0) h
        where l.day >= ${instantLiteral(daily.fromMicros)} and l.day < ${instantLiteral(daily.toMicros)} and not ${isLate('h.bucket')}`)
  }
  if (raw.length > 0) {
    const found = `(select series_id, time, value, ${FINITE} from (${raw.join(' union all ')}) p) f`
    const start = bucketStart(bucket, 'time')
    if (groups !== undefined) parts.push(`select series_id, ${start}, ${ONE_POINT} from ${found}`)
    else if (relations.lastAggregate !== undefined)
      parts.push(`select series_id, start, ${ROLLED_UP}
        from (select series_id, ${start} as start, ${AGGREGATES}, ${relations.lastAggregate} as last from ${found} group by 1, 2) b`)
    else
      parts.push(`select b.series_id, b.start, b.count::float8, b.non_finite::float8, b.sum, b.sum_squares, b.min, b.max, l.value, b.last_time
        from (select series_id, ${start} as start, ${AGGREGATES} from ${found} group by 1, 2) b
        left join lateral (${lasts.join(' union all ')} limit 1) l on true`)
  }
  const rows = `(${parts.join(' union all ')}) p(series_id, start, count, non_finite, sum, sum_squares, min, max, last, last_time)`
  if (groups === undefined && isDisjoint(plans, bucket))
    return `select series_id, date_part('epoch', start), count, non_finite, sum, min, max, last, sum_squares
      from ${rows} order by series_id, start`
  const grouped = groupKey(groups)
  // Of several values that are the newest of their part the newest is the greatest array. Microseconds stay apart in float8 seconds.
  return `select ${grouped.key}, date_part('epoch', p.start), sum(p.count), sum(p.non_finite), sum(p.sum), min(p.min), max(p.max),
      (max(array[date_part('epoch', p.last_time), p.series_id, p.last]) filter (where p.last is not null))[3],
      sum(p.sum_squares)
    from ${rows} ${grouped.join} group by ${grouped.groupBy} order by 1, 2`
}

/** What parts are put together by: their series; one number, which costs nothing; or that of their group. */
function groupKey(groups: SeriesGroups | undefined): {
  readonly key: string
  readonly groupBy: string
  readonly join: string
} {
  if (groups === undefined) return { key: 'p.series_id', groupBy: 'p.series_id, p.start', join: '' }
  const [only] = groups.groups
  if (groups.groups.every((group) => group === only))
    return { key: `${only}::int4`, groupBy: 'p.start', join: '' }
  return {
    key: 'g.number',
    groupBy: 'g.number, p.start',
    join: `join unnest(${int4Literal(groups.ids)}, ${int4Literal(groups.groups)}) g(id, number) on g.id = p.series_id`,
  }
}

const ROLLED_UP = 'count::float8, non_finite::float8, sum, sum_squares, min, max, last, last_time'

/**
 * A point in the columns of a roll-up: groups are put together from these at once, since summing up each series first costs more. Where it
 * is not finite its time is not that of a last value either: see what is filtered by.
 */
const ONE_POINT = `case when abs(value) < 'Infinity' then 1::float8 else 0 end, case when abs(value) < 'Infinity' then 0::float8 else 1 end, finite,
  case when abs(value) >= ${SMALLEST_SQUARED} and abs(value) < 'Infinity' then value * value when abs(value) < 1 then 0 end, finite, finite, finite, time`

interface LateTables {
  /** As `l(id, lower, upper)`. */
  readonly stretches: string
  readonly span: MicrosRange
  /** As `l(id, day, hours)`. */
  readonly days: string
}

function lateTables({ late }: ClassPlan): LateTables {
  const { ids, fromMicros, toMicros } = stretchesOf(late)
  return {
    stretches: `unnest(${int4Literal(ids)}, ${timestampLiteral(fromMicros)}, ${timestampLiteral(toMicros)}) l(id, lower, upper)`,
    span: {
      fromMicros: fromMicros.reduce((a, b) => Math.min(a, b)),
      toMicros: toMicros.reduce((a, b) => Math.max(a, b)),
    },
    days: `unnest(${int4Literal(late.ids)}, ${timestampLiteral(late.days)}, ${int4Literal(late.hours)}) l(id, day, hours)`,
  }
}

/** Up to so many roll-ups, of so few series, are looked up series by series: the planner takes the order of time for the cheaper one. */
const FEW_ROLL_UPS = 20_000
const FEW_SERIES = 200

function rolledUp(
  relations: MetricsRelations,
  { retention, ids }: ClassPlan,
  segment: Segment,
  late: LateTables | undefined,
  bucket: BucketWidth,
): string {
  const isDaily = segment.source === 'daily'
  const widthMicros = isDaily ? DAY_MICROS : HOUR_MICROS
  const table = isDaily ? relations.daily(retention) : relations.hourly(retention)
  const day = isDaily ? 'r.bucket' : `date_bin(interval '1 day', r.bucket, timestamptz '1970-01-01Z')`
  const isSame = 'seconds' in bucket && bucket.seconds * 1_000_000 === widthMicros
  const start = isSame ? 'r.bucket' : bucketStart(bucket, 'r.bucket')
  const behind =
    late === undefined
      ? ''
      : `not exists (select from ${late.days} where l.id = r.series_id and l.day = ${day}
          ${isDaily ? '' : `and ${isLate('r.bucket')}`})`
  const rollUps = (ids.length * (segment.toMicros - segment.fromMicros)) / widthMicros
  if (ids.length > 1 && ids.length <= FEW_SERIES && rollUps <= FEW_ROLL_UPS)
    return `select r.series_id, ${start}, ${ROLLED_UP} from unnest(${int4Literal(ids)}) o(id) cross join lateral (
      select * from ${table} where series_id = o.id and ${within('bucket', segment)} offset 0) r
      ${behind === '' ? '' : `where ${behind}`}`
  return `select r.series_id, ${start}, ${ROLLED_UP} from ${table} r
    where r.series_id ${among(ids)} and ${within('r.bucket', segment)} ${behind === '' ? '' : `and ${behind}`}`
}

/** A condition on a series' id. */
function among(ids: Int32Array): string {
  return ids.length === 1 ? `= ${ids[0]}` : `= any(${int4Literal(ids)})`
}

/** Whether the hour that starts at an instant is among those of the day `l`. */
function isLate(instant: string): string {
  return `(l.hours >> date_part('hour', ${instant} at time zone 'UTC')::int) & 1 = 1`
}

/** Whether no bucket is put together from several parts. */
function isDisjoint(plans: readonly ClassPlan[], bucket: BucketWidth): boolean {
  const isHourly = 'seconds' in bucket && bucket.seconds === 3_600
  return isHourly || plans.every(({ segments }) => segments.every(({ source }) => source === 'raw'))
}

function around(ranges: readonly MicrosRange[]): MicrosRange {
  return {
    fromMicros: ranges.reduce((a, { fromMicros }) => Math.min(a, fromMicros), Infinity),
    toMicros: ranges.reduce((a, { toMicros }) => Math.max(a, toMicros), -Infinity),
  }
}

/** Bounds as literals prune partitions and chunks while planning. */
function within(column: string, { fromMicros, toMicros }: MicrosRange): string {
  return `${column} >= ${instantLiteral(fromMicros)} and ${column} < ${instantLiteral(toMicros)}`
}
