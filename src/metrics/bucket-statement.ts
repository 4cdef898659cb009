import { int4Literal, timestampLiteral } from './array-text.ts'
import { bucketStart } from './bucket-width.ts'
import { instantLiteral, isWithin, utcDay } from './instant-literal.ts'
import type { BucketWidth, OptionalAggregate } from './metric-query.ts'
import type { MetricsRelations } from './metrics-relations.ts'
import type { MicrosRange } from './micros-range.ts'
import { type ClassPlan, type Segment, stretchesOf } from './query-planner.ts'
import { DAY_MICROS, HOUR_MICROS } from './roll-up-ledger.ts'

/** Squares of smaller numbers are not normal floats any more, and PostgreSQL fails on the underflow: they count as 0. */
const SMALLEST_SQUARED = 1.5e-154

const SUM_SQUARES = `sum(case when abs(finite) < ${SMALLEST_SQUARED} then 0 else finite * finite end)`

/** What a bucket is made of, of the finite values and of all: columns as roll-ups have them. `value` must be called that. */
export const AGGREGATES = `count(finite) as count, count(*) - count(finite) as non_finite, sum(finite) as sum,
  ${SUM_SQUARES} as sum_squares,
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
  without: readonly OptionalAggregate[],
): string {
  const key = keyOf(groups)
  const raw: RawPoints[] = []
  const lasts: string[] = []
  /** Roll-ups: (key, series_id, start, count, non_finite, sum, sum_squares, min, max, last, last_time). */
  const parts: string[] = []
  for (const plan of plans) {
    const late = plan.late.ids.length === 0 ? undefined : lateTables(plan)
    const points = relations.points(plan.retention)
    const ofRaw = plan.segments.filter(({ source }) => source === 'raw')
    for (const segment of ofRaw) {
      const condition = within('time', segment)
      if (isLookedUp(plan, groups))
        raw.push({
          range: segment,
          each: {
            members: members(plan.ids, groups!),
            text: `select series_id, time, value from ${points} where series_id = o.id and ${condition}`,
          },
        })
      else
        raw.push({
          range: segment,
          text: `select ${key('p.series_id').number}, p.series_id, p.time, p.value from ${points} p ${key('p.series_id').join}
            where p.series_id ${among(plan.ids)} and ${within('p.time', segment)}`,
        })
    }
    if (late !== undefined)
      raw.push({
        range: late.span,
        text: `select ${key('l.id').number}, p.series_id, p.time, p.value from ${late.stretches} ${key('l.id').join} cross join lateral (
        select series_id, time, value from ${points}
        where series_id = l.id and time >= l.lower and time < l.upper and ${within('time', late.span)} offset 0) p`,
      })
    const spans = [...ofRaw, ...(late === undefined ? [] : [late.span])]
    if (spans.length > 0)
      lasts.push(`select value from ${points} where series_id = b.series_id and time = b.last_time
        and ${within('time', around(spans))}`)
    for (const segment of plan.segments)
      if (segment.source !== 'raw') parts.push(rolledUp(relations, plan, segment, late, bucket, groups))
    const daily = plan.segments.find(({ source }) => source === 'daily')
    if (late !== undefined && daily !== undefined)
      parts.push(`select ${key('l.id').number}, h.series_id, ${bucketStart(bucket, 'h.bucket')}, ${ROLLED_UP} from ${late.days} ${key('l.id').join} cross join lateral (
        select * from ${relations.hourly(plan.retention)}
        where series_id = l.id and bucket >= l.day and bucket < l.day + interval '24 hours'
          and ${within('bucket', daily)} offset 0) h
        where l.day >= ${instantLiteral(daily.fromMicros)} and l.day < ${instantLiteral(daily.toMicros)} and not ${isLate('h.bucket')}`)
  }
  if (groups !== undefined) return groupedStatement(parts, raw, bucket, groups, without)
  const start = bucketStart(bucket, 'time')
  const found = withFinite(raw.map(textOf).join(' union all '))
  if (raw.length > 0 && relations.lastAggregate !== undefined)
    parts.push(`select series_id, series_id, start, ${ROLLED_UP}
      from (select series_id, ${start} as start, ${AGGREGATES}, ${relations.lastAggregate} as last from ${found} group by 1, 2) b`)
  else if (raw.length > 0)
    parts.push(`select b.series_id, b.series_id, b.start, b.count::float8, b.non_finite::float8, b.sum, b.sum_squares, b.min, b.max, l.value, b.last_time
      from (select series_id, ${start} as start, ${AGGREGATES} from ${found} group by 1, 2) b
      left join lateral (${lasts.join(' union all ')} limit 1) l on true`)
  const rows = `(${parts.join(' union all ')}) p(${COLUMNS})`
  if (isDisjoint(plans, bucket))
    return `select series_id, date_part('epoch', start), count, non_finite, sum, min, max,
      ${without.includes('last') ? 'null::float8' : 'last'}, ${without.includes('sumSquares') ? 'null::float8' : 'sum_squares'}
      from ${rows} order by series_id, start`
  return `select p.series_id, date_part('epoch', p.start), ${put(without, NEWEST)} from ${rows} group by p.series_id, p.start order by 1, 2`
}

/** Raw points, as (key, series_id, time, value), and the time that they lie in. */
type RawPoints = { readonly range: MicrosRange } & (
  | { readonly text: string }
  /** Series by series: `members` as `o(id, number)`, and the points of `o.id` as (series_id, time, value). */
  | { readonly each: { readonly members: string; readonly text: string } }
)

function textOf(points: RawPoints): string {
  if (!('each' in points)) return points.text
  const { members: series, text } = points.each
  return `select o.number, p.series_id, p.time, p.value from ${series} cross join lateral (${text} offset 0) p`
}

function withFinite(points: string): string {
  return `(select key, series_id, time, value, ${FINITE} from (${points}) p(key, series_id, time, value)) f`
}

/**
 * Puts roll-ups and raw points of groups of series together. Every part is summed up by group before it meets the others: most of what
 * this costs is by the row, and a row of a union costs as much as one that is summed up.
 */
function groupedStatement(
  rollUps: readonly string[],
  raw: readonly RawPoints[],
  bucket: BucketWidth,
  groups: SeriesGroups,
  without: readonly OptionalAggregate[],
): string {
  const isWanted = (aggregate: OptionalAggregate): boolean => !without.includes(aggregate)
  // What is the same in all rows is not compared in each.
  const by = (...columns: readonly string[]): string =>
    columns.length === 0 ? 'having count(*) > 0' : `group by ${columns.join(', ')}`
  const key = isOneGroup(groups) ? [] : ['key']
  const number = isOneGroup(groups) ? `${groups.groups[0]}::int4` : 'key'
  const parts = rollUps.map(
    (text) => `select ${number}, start, sum(count), sum(non_finite), sum(sum),
        ${isWanted('sumSquares') ? 'sum(sum_squares)' : 'null::float8'}, min(min), max(max),
        ${isWanted('last') ? `max(array[date_part('epoch', last_time), series_id, last]) filter (where last is not null)` : NO_ARRAY}
      from (${text}) r(${COLUMNS}) ${by(...key, 'start')}`,
  )
  const sums = `count(finite)::float8 as count, (count(*) - count(finite))::float8 as non_finite, sum(finite) as sum,
    ${isWanted('sumSquares') ? SUM_SQUARES : 'null::float8'} as sum_squares, min(finite) as min, max(finite) as max,
    ${isWanted('last') ? `max(array[date_part('epoch', time), series_id, value]) filter (where finite is not null)` : NO_ARRAY} as newest`
  for (const points of raw) {
    const only = onlyBucket(bucket, points.range)
    if (only !== undefined && 'each' in points)
      parts.push(`select ${isOneGroup(groups) ? number : 'o.number'}, ${only}, sum(a.count), sum(a.non_finite), sum(a.sum), sum(a.sum_squares),
          min(a.min), max(a.max), max(a.newest)
        from ${points.each.members} cross join lateral (
          select ${sums} from (select *, ${FINITE} from (${points.each.text}) p) f having count(*) > 0) a
        ${by(...(isOneGroup(groups) ? [] : ['o.number']))}`)
    else
      parts.push(
        `select ${number}, ${only ?? bucketStart(bucket, 'time')}, ${sums} from ${withFinite(textOf(points))} ${by(...key, ...(only === undefined ? ['2'] : []))}`,
      )
  }
  return `select p.key, date_part('epoch', p.start), ${put(without, '(max(p.newest))[3]')}
    from (${parts.join(' union all ')}) p(key, start, count, non_finite, sum, sum_squares, min, max, newest) group by p.key, p.start order by 1, 2`
}

/** The start of the bucket that all of a range lies in, where it lies in one. */
function onlyBucket(bucket: BucketWidth, { fromMicros, toMicros }: MicrosRange): string | undefined {
  if (!('seconds' in bucket)) return undefined
  const width = bucket.seconds * 1_000_000
  const start = fromMicros - (fromMicros % width)
  return toMicros <= start + width ? instantLiteral(start) : undefined
}

function isOneGroup({ groups }: SeriesGroups): boolean {
  return groups.every((group) => group === groups[0])
}

/** What parts are put together by: their series; one number, which costs nothing; or that of their group, which is joined to a series. */
function keyOf(groups: SeriesGroups | undefined): (series: string) => { number: string; join: string } {
  if (groups === undefined) return (series) => ({ number: series, join: '' })
  if (isOneGroup(groups)) return () => ({ number: `${groups.groups[0]}::int4`, join: '' })
  const table = `unnest(${int4Literal(groups.ids)}, ${int4Literal(groups.groups)}) g(id, number)`
  return (series) => ({ number: 'g.number', join: `join ${table} on g.id = ${series}` })
}

/** Series with the numbers of their groups, as `o(id, number)`. */
function members(ids: Int32Array, groups: SeriesGroups): string {
  const numbers = new Map(groups.ids.entries().map(([i, id]) => [id, groups.groups[i]!]))
  return `unnest(${int4Literal(ids)}, ${int4Literal(ids.map((id) => numbers.get(id)!))}) o(id, number)`
}

/** Whether the raw points of groups are looked up series by series: then none of them has to be joined with its group. */
function isLookedUp({ ids }: ClassPlan, groups: SeriesGroups | undefined): boolean {
  return groups !== undefined && ids.length > 1 && ids.length <= FEW_SERIES
}

const NO_ARRAY = 'null::float8[]'

/** Of several values that are the newest of their part the newest is the greatest array. Microseconds stay apart in float8 seconds. */
const NEWEST = `(max(array[date_part('epoch', p.last_time), p.series_id, p.last]) filter (where p.last is not null))[3]`

/** The columns of an answer, put together from parts. */
function put(without: readonly OptionalAggregate[], newest: string): string {
  const last = without.includes('last') ? 'null::float8' : newest
  const squares = without.includes('sumSquares') ? 'null::float8' : 'sum(p.sum_squares)'
  return `sum(p.count), sum(p.non_finite), sum(p.sum), min(p.min), max(p.max), ${last}, ${squares}`
}

const COLUMNS = 'key, series_id, start, count, non_finite, sum, sum_squares, min, max, last, last_time'
const ROLLED_UP = 'count::float8, non_finite::float8, sum, sum_squares, min, max, last, last_time'

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
  groups: SeriesGroups | undefined,
): string {
  const isDaily = segment.source === 'daily'
  const widthMicros = isDaily ? DAY_MICROS : HOUR_MICROS
  const table = isDaily ? relations.daily(retention) : relations.hourly(retention)
  const day = isDaily ? 'r.bucket' : utcDay('r.bucket')
  const isSame = 'seconds' in bucket && bucket.seconds * 1_000_000 === widthMicros
  const start = isSame ? 'r.bucket' : bucketStart(bucket, 'r.bucket')
  const behind =
    late === undefined
      ? ''
      : `not exists (select from ${late.days} where l.id = r.series_id and l.day = ${day}
          ${isDaily ? '' : `and ${isLate('r.bucket')}`})`
  const rollUps = (ids.length * (segment.toMicros - segment.fromMicros)) / widthMicros
  if (ids.length > 1 && ids.length <= FEW_SERIES && rollUps <= FEW_ROLL_UPS) {
    const own = groups === undefined ? `unnest(${int4Literal(ids)}) o(id)` : members(ids, groups)
    return `select ${groups === undefined ? 'o.id' : 'o.number'}, r.series_id, ${start}, ${ROLLED_UP} from ${own} cross join lateral (
      select * from ${table} where series_id = o.id and ${within('bucket', segment)} offset 0) r
      ${behind === '' ? '' : `where ${behind}`}`
  }
  const { number, join } = keyOf(groups)('r.series_id')
  return `select ${number}, r.series_id, ${start}, ${ROLLED_UP} from ${table} r ${join}
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

function within(column: string, { fromMicros, toMicros }: MicrosRange): string {
  return isWithin(column, fromMicros, toMicros)
}
