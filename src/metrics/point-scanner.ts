import type { Connection } from '../database/connection.ts'
import { decodeCopy } from './copy-decoder.ts'
import { copyOut } from './copy-transfer.ts'
import { instantLiteral } from './instant-literal.ts'
import { takeTurn } from './lock-room.ts'
import type { MetricsRelations } from './metrics-relations.ts'
import { microsRange } from './micros-range.ts'
import { type PointColumns, type RetentionClass, type SeriesId, type TimeRange } from './metrics-engine.ts'

/** Rows of one COPY: 2 MB on the wire, and what is still to be received when a reader stops early. */
const PAGE_ROWS = 65_536

/** Longest run handed out at once. */
const CHUNK_ROWS = 8_192

/** Longest tail, which is held in memory whole. */
const MAX_TAIL_ROWS = 1_000_000

/** Most series of one COPY. */
const SERIES_AT_ONCE = 256

interface Found {
  readonly id: SeriesId
  readonly retention: RetentionClass
}

/** Reads the points of `series`, one after the other in ascending time, as `nomaly_system`; `emit` sets the pace. */
export async function scanPoints(
  connection: Connection,
  relations: MetricsRelations,
  series: readonly Found[],
  range: TimeRange,
  emit: (columns: PointColumns) => Promise<void>,
): Promise<void> {
  const { fromMicros, toMicros } = microsRange(range)
  if (!(fromMicros < toMicros)) return
  const classes = new Set(series.map(({ retention }) => retention))
  await takeTurn(
    connection,
    relations,
    [...classes].map((retention) => ({ retention, fromMicros, toMicros })),
  )
  let position = 0
  /** Where the first series of the next page goes on: within it, when the page before was full. */
  let startMicros = fromMicros
  while (position < series.length) {
    const isContinued = startMicros !== fromMicros
    const part = isContinued ? series.slice(position, position + 1) : sameClass(series, position)
    const page = decodeCopy(await copyOut(connection, pageStatement(relations, part, startMicros, toMicros)))
    for (let start = 0; start < page.numbers.length;) {
      const number = page.numbers[start]!
      let end = start + 1
      while (end < page.numbers.length && end - start < CHUNK_ROWS && page.numbers[end] === number) end++
      await emit({
        seriesId: part[number - 1]!.id,
        timesMs: page.timesMs.slice(start, end),
        values: page.values.slice(start, end),
      })
      start = end
    }
    if (page.numbers.length < PAGE_ROWS) {
      position += part.length
      startMicros = fromMicros
    } else {
      position += page.numbers.at(-1)! - 1
      startMicros = Math.round(page.timesMs.at(-1)! * 1000) + 1
    }
  }
}

/** The newest `limit` points of one series in a range, ascending, as `nomaly_system`. */
export async function readTail(
  connection: Connection,
  relations: MetricsRelations,
  { id, retention }: Found,
  range: TimeRange,
  limit: number,
): Promise<PointColumns> {
  const { fromMicros, toMicros } = microsRange(range)
  if (!(fromMicros < toMicros) || limit < 1)
    return { seriesId: id, timesMs: new Float64Array(), values: new Float64Array() }
  await takeTurn(connection, relations, [{ retention, fromMicros, toMicros }])
  const newest = `select p.time, p.value from ${relations.points(retention)} p
    where p.series_id = ${id} and p.time >= ${instantLiteral(fromMicros)} and p.time < ${instantLiteral(toMicros)}
    order by p.time desc limit ${Math.floor(Math.min(limit, MAX_TAIL_ROWS))}`
  const statement = `copy (select 1::int4, time, value from (${newest}) t order by time) to stdout binary`
  const { timesMs, values } = decodeCopy(await copyOut(connection, statement))
  return { seriesId: id, timesMs, values }
}

/** The series from `position` on that one statement can read. */
function sameClass(series: readonly Found[], position: number): readonly Found[] {
  const { retention } = series[position]!
  let end = position + 1
  while (end < series.length && end - position < SERIES_AT_ONCE && series[end]!.retention === retention) end++
  return series.slice(position, end)
}

/**
 * One page in the order of `part`: a nested loop, because of the limit inside, keeps the order of its outer side; the points of
 * each series come in the order of the key. COPY takes no parameters: all that is put in is a number.
 */
function pageStatement(
  relations: MetricsRelations,
  part: readonly Found[],
  fromMicros: number,
  toMicros: number,
): string {
  const bounds = `p.time >= ${instantLiteral(fromMicros)} and p.time < ${instantLiteral(toMicros)}`
  const table = relations.points(part[0]!.retention)
  const select =
    part.length === 1
      ? `select 1::int4, p.time, p.value from ${table} p where p.series_id = ${part[0]!.id} and ${bounds} order by p.time`
      : `select o.n::int4, p.time, p.value
         from unnest(array[${part.map(({ id }) => id).join(',')}]::int4[]) with ordinality o(id, n)
         cross join lateral (
           select p.time, p.value from ${table} p where p.series_id = o.id and ${bounds} order by p.time limit ${PAGE_ROWS}
         ) p`
  return `copy (${select} limit ${PAGE_ROWS}) to stdout binary`
}
