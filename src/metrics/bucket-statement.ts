import { int4Array, timestampArray } from './array-encoder.ts'
import { bucketStart } from './bucket-width.ts'
import { instantLiteral } from './instant-literal.ts'
import type { BucketWidth } from './metrics-engine.ts'
import type { MetricsRelations } from './metrics-relations.ts'
import { type ClassPlan, type MicrosRange, type Segment, stretchesOf } from './query-planner.ts'

/** Squares of smaller numbers are not normal floats any more, and PostgreSQL fails on the underflow: they count as 0. */
const SMALLEST_SQUARED = 1.5e-154

/** What a bucket is made of, of the finite values and of all: columns as roll-ups have them. `value` must be called that. */
export const AGGREGATES = `count(finite) as count, count(*) - count(finite) as non_finite, sum(finite) as sum,
  sum(case when abs(finite) < ${SMALLEST_SQUARED} then 0 else finite * finite end) as sum_squares,
  min(finite) as min, max(finite) as max, max(time) filter (where finite is not null) as last_time`

/** The finite value or null. NaN is greater than everything, so that one comparison tells. */
export const FINITE = `case when abs(value) < 'Infinity' then value end as finite`

export interface BucketStatement {
  readonly text: string
  readonly values: readonly unknown[]
}

/** Groups of series: `ids` and, at the same index, the number that stands for the group. */
export interface SeriesGroups {
  readonly ids: Int32Array
  readonly groups: Int32Array
}

/**
 * The one statement that answers a query, by group and time: (group, start in epoch seconds, count, non-finite, sum, min, max, last, sum of
 * squares), numbers as float8. Without `groups` each series is one.
 */
export function bucketStatement(
  relations: MetricsRelations,
  plans: readonly ClassPlan[],
  bucket: BucketWidth,
  groups: SeriesGroups | undefined,
): BucketStatement {
  const values: unknown[] = []
  const parameter = (value: unknown, type: string) => `$${values.push(value)}::${type}`
  const raw: string[] = []
  const lasts: string[] = []
  const parts: string[] = []
  for (const plan of plans) {
    const ids = parameter(int4Array(plan.ids), 'int4[]')
    const late = plan.late.ids.length === 0 ? undefined : lateTables(plan, parameter)
    const points = relations.points(plan.retention)
    const ofRaw = plan.segments.filter(({ source }) => source === 'raw')
    for (const segment of ofRaw)
      raw.push(
        `select series_id, time, value from ${points} where series_id = any(${ids}) and ${within('time', segment)}`,
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
      if (segment.source !== 'raw') parts.push(rolledUp(relations, plan, segment, ids, late, bucket))
    const daily = plan.segments.find(({ source }) => source === 'daily')
    if (late !== undefined && daily !== undefined)
      parts.push(`select h.series_id, ${bucketStart(bucket, 'h.bucket')}, ${ROLLED_UP} from ${late.days} cross join lateral (
        select * from ${relations.hourly(plan.retention)}
        where series_id = l.id and bucket >= l.day and bucket < l.day + interval '24 hours'
          and ${within('bucket', daily)} offset 0) h
        where l.day >= ${instantLiteral(daily.fromMicros)} and l.day < ${instantLiteral(daily.toMicros)} and not ${isLate('h.bucket')}`)
  }
  const found = `select series_id, time, ${FINITE} from (${raw.join(' union all ')}) p`
  const { lastAggregate } = relations
  if (raw.length > 0 && lastAggregate !== undefined)
    parts.push(`select series_id, start, count, non_finite, sum, sum_squares, min, max, last, last_time
      from (select series_id, ${bucketStart(bucket, 'time')} as start, ${AGGREGATES}, ${lastAggregate} as last
        from (${found}) f group by 1, 2) b`)
  else if (raw.length > 0)
    parts.push(`select b.series_id, b.start, b.count, b.non_finite, b.sum, b.sum_squares, b.min, b.max, l.value, b.last_time
      from (select series_id, ${bucketStart(bucket, 'time')} as start, ${AGGREGATES}
        from (${found}) f group by 1, 2) b
      left join lateral (${lasts.join(' union all ')} limit 1) l on true`)
  const isWhole = groups === undefined && isDisjoint(plans, bucket)
  const rows = `(${parts.join(' union all ')}) p(series_id, start, count, non_finite, sum, sum_squares, min, max, last, last_time)`
  if (isWhole)
    return {
      text: `select series_id, date_part('epoch', start), count::float8, non_finite::float8, sum, min, max, last, sum_squares
        from ${rows} order by series_id, start`,
      values,
    }
  const grouped = groupKey(groups, parameter)
  // Of several values that are the newest of their part the newest is the greatest array. Microseconds stay apart in float8 seconds.
  return {
    text: `select ${grouped.key}, date_part('epoch', p.start), sum(p.count)::float8, sum(p.non_finite)::float8, sum(p.sum), min(p.min), max(p.max),
        (max(array[date_part('epoch', p.last_time), p.series_id, p.last]) filter (where p.last_time is not null))[3],
        sum(p.sum_squares)
      from ${rows} ${grouped.join} group by ${grouped.groupBy} order by 1, 2`,
    values,
  }
}

/** What parts are put together by: their series; one number, which costs nothing; or that of their group. */
function groupKey(
  groups: SeriesGroups | undefined,
  parameter: (value: unknown, type: string) => string,
): { readonly key: string; readonly groupBy: string; readonly join: string } {
  if (groups === undefined) return { key: 'p.series_id', groupBy: 'p.series_id, p.start', join: '' }
  const [only] = groups.groups
  if (groups.groups.every((group) => group === only))
    return { key: `${only}::int4`, groupBy: 'p.start', join: '' }
  const columns = [groups.ids, groups.groups].map((column) => parameter(int4Array(column), 'int4[]'))
  return {
    key: 'g.number',
    groupBy: 'g.number, p.start',
    join: `join unnest(${columns.join(', ')}) g(id, number) on g.id = p.series_id`,
  }
}

const ROLLED_UP = 'count, non_finite, sum, sum_squares, min, max, last, last_time'

interface LateTables {
  /** As `l(id, lower, upper)`. */
  readonly stretches: string
  readonly span: MicrosRange
  /** As `l(id, day, hours)`. */
  readonly days: string
}

function lateTables({ late }: ClassPlan, parameter: (value: unknown, type: string) => string): LateTables {
  const { ids, fromMicros, toMicros } = stretchesOf(late)
  return {
    stretches: `unnest(${parameter(int4Array(ids), 'int4[]')}, ${parameter(timestampArray(fromMicros), 'timestamptz[]')},
      ${parameter(timestampArray(toMicros), 'timestamptz[]')}) l(id, lower, upper)`,
    span: {
      fromMicros: fromMicros.reduce((a, b) => Math.min(a, b)),
      toMicros: toMicros.reduce((a, b) => Math.max(a, b)),
    },
    days: `unnest(${parameter(int4Array(late.ids), 'int4[]')}, ${parameter(timestampArray(late.days), 'timestamptz[]')},
      ${parameter(int4Array(late.hours), 'int4[]')}) l(id, day, hours)`,
  }
}

function rolledUp(
  relations: MetricsRelations,
  { retention }: ClassPlan,
  segment: Segment,
  ids: string,
  late: LateTables | undefined,
  bucket: BucketWidth,
): string {
  const isDaily = segment.source === 'daily'
  const table = isDaily ? relations.daily(retention) : relations.hourly(retention)
  const day = isDaily ? 'r.bucket' : `date_bin(interval '1 day', r.bucket, timestamptz '1970-01-01Z')`
  const behind =
    late === undefined
      ? ''
      : `and not exists (select from ${late.days} where l.id = r.series_id and l.day = ${day}
          ${isDaily ? '' : `and ${isLate('r.bucket')}`})`
  return `select r.series_id, ${bucketStart(bucket, 'r.bucket')}, ${ROLLED_UP} from ${table} r
    where r.series_id = any(${ids}) and ${within('r.bucket', segment)} ${behind}`
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
