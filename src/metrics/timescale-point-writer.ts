import type { Connection } from '../database/connection.ts'
import { sqlState } from '../database/database-errors.ts'
import { int4Array } from './array-encoder.ts'
import type { PointRows } from './copy-encoder.ts'
import type { RetentionClass } from './metrics-engine.ts'
import { UnknownPartitions } from './partition-map.ts'
import type { OrderedPoints, PartitionRun } from './point-order.ts'
import {
  columns,
  compareByKey,
  type Comparison,
  comparisonStatement,
  copied,
  insertMissing,
  merge,
  readComparison,
  rowsOf,
  slices,
  within,
  type WriteCounts,
} from './point-writer.ts'
import { DAY_MS } from './retention.ts'
import { closedChunksStatement, type TimescaleChunks } from './timescale-chunks.ts'
import { TIMESCALE_RELATIONS } from './timescale-relations.ts'

const UNDEFINED_TABLE = '42P01'

const MOST_COPIES = 8

const POINTS = 'unnest($1::int4[], $2::timestamptz[], $3::float8[])'

/** As `insertPoints`, into hypertables whose chunks may be compressed. */
export async function insertIntoChunks(
  connection: Connection,
  chunks: TimescaleChunks,
  points: OrderedPoints,
): Promise<WriteCounts> {
  await lockChunks(connection, chunks, points.runs, () => daysOf(points))
  const counts = { inserted: 0, duplicates: 0, conflicting: 0 }
  let compressed: ReadonlySet<string> | undefined
  for (const slice of slices(points.runs).flatMap(apart)) {
    if (await copied(connection, TIMESCALE_RELATIONS, points, slice)) {
      for (const run of slice) counts.inserted += run.end - run.start
      continue
    }
    compressed ??= await compressedChunks(connection, chunks, points)
    for (const run of slice) {
      const isCompressed = compressed.has(nameOf(chunks, run))
      const compare = isCompressed ? compareByScan : compareByKey
      const merged = await merge(connection, TIMESCALE_RELATIONS, points, run, compare)
      counts.inserted += merged.inserted
      counts.duplicates += merged.duplicates
      counts.conflicting += merged.conflicting
    }
  }
  return counts
}

/**
 * A COPY into several chunks fills them in an order of TimescaleDB's own, and two that overlap wait for each other: chunks have one each, unless
 * they are so many that this would cost more than to be undone now and then.
 */
function apart(slice: PartitionRun[]): PartitionRun[][] {
  return slice.length <= MOST_COPIES ? slice.map((run) => [run]) : [slice]
}

/** As `overwritePoints`, into hypertables whose chunks may be compressed. */
export async function overwriteInChunks(
  connection: Connection,
  chunks: TimescaleChunks,
  points: OrderedPoints,
): Promise<{ changed: number; inserted: number; unchanged: number }> {
  await lockChunks(connection, chunks, points.runs, () => daysOf(points))
  const compressed = await compressedChunks(connection, chunks, points)
  const counts = { changed: 0, inserted: 0, unchanged: 0 }
  for (const run of slices(points.runs).flat()) {
    const rows = rowsOf(points, run)
    let changed = 0
    const isCompressed = compressed.has(nameOf(chunks, run))
    // Only with a series and times that stand in the statement itself is just that part of a chunk unpacked.
    const parts = isCompressed ? bySeries(rows) : [{ rows, bounds: within(run) }]
    // What is unpacked for an update is not there yet when it is planned, and looks like a single row.
    if (isCompressed)
      await connection.query('set local enable_hashjoin = on; set local enable_nestloop = off')
    for (const part of parts) {
      const updated = await connection.client.query(
        `update ${TIMESCALE_RELATIONS.points(run.retention)} p set value = i.value from ${POINTS} i(series_id, time, value)
         where p.series_id = i.series_id and p.time = i.time and ${part.bounds} and p.value <> i.value`,
        columns(part.rows),
      )
      changed += updated.rowCount!
    }
    if (isCompressed)
      await connection.query('set local enable_hashjoin = off; set local enable_nestloop = on')
    const inserted = await insertMissing(connection, TIMESCALE_RELATIONS, rows, run)
    counts.changed += changed
    counts.inserted += inserted
    counts.unchanged += rows.ids.length - changed - inserted
  }
  return counts
}

/**
 * Keeps chunks from being compressed until the transaction ends: a statement that began before that could miss what it has to find. Lifts
 * the limit to what a transaction may unpack, which it only reaches where that much is written.
 * @throws UnknownPartitions naming `days` where one is gone, or has to be opened first.
 */
export async function lockChunks(
  connection: Connection,
  chunks: TimescaleChunks,
  ranges: readonly Pick<PartitionRun, 'retention' | 'lowerMicros'>[],
  days: () => Map<RetentionClass, Set<number>>,
): Promise<void> {
  if (ranges.length === 0) return
  const names = ranges.map((range) => nameOf(chunks, range))
  let closed: string[]
  try {
    const [, , rows] = await connection.batch([
      'set local timescaledb.max_tuples_decompressed_per_dml_transaction = 0',
      `lock table ${names.join(', ')} in row exclusive mode`,
      closedChunksStatement(names),
    ])
    closed = (rows as [string][]).map(([name]) => name)
  } catch (error) {
    if (sqlState(error) !== UNDEFINED_TABLE) throw error
    chunks.forgetAll()
    throw new UnknownPartitions(days())
  }
  if (chunks.mustOpen(names, closed)) throw new UnknownPartitions(days())
}

async function compressedChunks(
  connection: Connection,
  chunks: TimescaleChunks,
  points: OrderedPoints,
): Promise<ReadonlySet<string>> {
  const rows = await connection.query<{ name: string }>(
    'select name from unnest($1::text[]) name where _timescaledb_functions.chunk_status(name::regclass) & 1 = 1',
    [points.runs.map((run) => nameOf(chunks, run))],
  )
  return new Set(rows.map(({ name }) => name))
}

/** Reads the series of these points over their time once: what is compressed costs the same for one point as for a thousand. */
async function compareByScan(
  connection: Connection,
  relations: typeof TIMESCALE_RELATIONS,
  rows: PointRows,
  run: PartitionRun,
): Promise<Comparison> {
  const { ids, micros } = rows
  const lowerMicros = micros.reduce((a, b) => Math.min(a, b))
  const upperMicros = micros.reduce((a, b) => Math.max(a, b)) + 1
  const statement = comparisonStatement(
    relations,
    { ...run, lowerMicros, upperMicros },
    'p.series_id = any($4::int4[])',
  )
  await connection.query('set local enable_hashjoin = on')
  const series = int4Array(Int32Array.from(new Set(ids)))
  const comparison = await readComparison(connection, statement, [...columns(rows), series])
  await connection.query('set local enable_hashjoin = off')
  return comparison
}

function bySeries(rows: PointRows): { rows: PointRows; bounds: string }[] {
  const parts = []
  for (let start = 0, end = 0; start < rows.ids.length; start = end) {
    while (end < rows.ids.length && rows.ids[end] === rows.ids[start]) end++
    const part = {
      ids: rows.ids.subarray(start, end),
      micros: rows.micros.subarray(start, end),
      values: rows.values.subarray(start, end),
    }
    const span = { lowerMicros: part.micros[0]!, upperMicros: part.micros.at(-1)! + 1 }
    parts.push({ rows: part, bounds: `p.series_id = ${part.ids[0]!} and ${within(span)}` })
  }
  return parts
}

function daysOf({ runs, micros }: OrderedPoints): Map<RetentionClass, Set<number>> {
  const days = new Map<RetentionClass, Set<number>>()
  for (const { retention, start, end } of runs) {
    const of = days.get(retention) ?? new Set()
    days.set(retention, of)
    for (let i = start; i < end; i++) of.add(Math.floor(micros[i]! / 1000 / DAY_MS) * DAY_MS)
  }
  return days
}

function nameOf(
  chunks: TimescaleChunks,
  { retention, lowerMicros }: Pick<PartitionRun, 'retention' | 'lowerMicros'>,
): string {
  return chunks.nameOf(retention, lowerMicros)
}
