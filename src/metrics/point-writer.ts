import type { Connection } from '../database/connection.ts'
import { sqlState } from '../database/database-errors.ts'
import { float8Array, int4Array, timestampArray } from './array-encoder.ts'
import { encodeCopy, type PointRows } from './copy-encoder.ts'
import { copyIn } from './copy-transfer.ts'
import { isWithin } from './instant-literal.ts'
import type { MetricsRelations } from './metrics-relations.ts'
import type { OrderedPoints, PartitionRun } from './point-order.ts'
import { type HourBounds, type StateRow, stateStatement, toBounds } from './roll-up-ledger.ts'

/** Rows of one COPY: what is repeated in it costs one merge of that many. */
const COPY_ROWS = 50_000

const UNIQUE_VIOLATION = '23505'

const POINTS = 'unnest($1::int4[], $2::timestamptz[], $3::float8[])'

export interface WriteCounts {
  readonly inserted: number
  readonly duplicates: number
  readonly conflicting: number
}

/**
 * Becomes `nomaly_system` and has the planner look points up by key, in the order given, for the rest of the transaction; answers before
 * which hours what is written is late. To be called when the lock of writers is held.
 */
export async function beginWriting(connection: Connection, relations: MetricsRelations): Promise<HourBounds> {
  const results = (await connection.client.query(
    `set local role nomaly_system; set local enable_hashjoin = off; set local enable_mergejoin = off; set local jit = off;
     ${stateStatement(relations, 'closing_until')}`,
  )) as unknown as { rows: StateRow[] }[]
  return toBounds(results.at(-1)!.rows)
}

/** Adds points as `nomaly_system`; those whose instant is taken stay out and are counted. */
export async function insertPoints(
  connection: Connection,
  relations: MetricsRelations,
  points: OrderedPoints,
): Promise<WriteCounts> {
  const counts = { inserted: 0, duplicates: 0, conflicting: 0 }
  for (const slice of slices(points.runs)) {
    if (await copied(connection, relations, points, slice)) {
      for (const run of slice) counts.inserted += run.end - run.start
      continue
    }
    for (const run of slice) {
      const merged = await merge(connection, relations, points, run)
      counts.inserted += merged.inserted
      counts.duplicates += merged.duplicates
      counts.conflicting += merged.conflicting
    }
  }
  return counts
}

/** Overwrites points as `nomaly_system`. The caller keeps every other writer of these series away. */
export async function overwritePoints(
  connection: Connection,
  relations: MetricsRelations,
  points: OrderedPoints,
): Promise<{ changed: number; inserted: number; unchanged: number }> {
  const counts = { changed: 0, inserted: 0, unchanged: 0 }
  for (const run of slices(points.runs).flat()) {
    const rows = rowsOf(points, run)
    const updated = await connection.client.query(
      `update ${relations.points(run.retention)} p set value = i.value from ${POINTS} i(series_id, time, value)
       where p.series_id = i.series_id and p.time = i.time and ${within(run)} and p.value <> i.value`,
      columns(rows),
    )
    const inserted = await insertMissing(connection, relations, rows, run)
    counts.changed += updated.rowCount!
    counts.inserted += inserted
    counts.unchanged += rows.ids.length - updated.rowCount! - inserted
  }
  return counts
}

/** Cuts runs into pieces of at most {@link COPY_ROWS}, and groups pieces of one class that fill one COPY together. */
export function slices(runs: readonly PartitionRun[]): PartitionRun[][] {
  const groups: PartitionRun[][] = []
  let rows = 0
  for (const run of runs) {
    for (let start = run.start; start < run.end; start += COPY_ROWS) {
      const piece = { ...run, start, end: Math.min(run.end, start + COPY_ROWS) }
      const group = groups.at(-1)
      if (group?.[0]?.retention === run.retention && rows + piece.end - start <= COPY_ROWS) group.push(piece)
      else {
        groups.push([piece])
        rows = 0
      }
      rows += piece.end - start
    }
  }
  return groups
}

/** Tries a plain COPY, the fastest way in; false, and nothing written, when one of the instants is taken. */
export async function copied(
  connection: Connection,
  relations: MetricsRelations,
  points: OrderedPoints,
  slice: readonly PartitionRun[],
): Promise<boolean> {
  const { retention, start } = slice[0]!
  const bytes = encodeCopy(points, start, slice.at(-1)!.end)
  await connection.query('savepoint before_copy')
  try {
    await copyIn(
      connection,
      `copy ${relations.points(retention)} (time, series_id, value) from stdin binary`,
      bytes,
    )
  } catch (error) {
    if (sqlState(error) !== UNIQUE_VIOLATION) throw error
    await connection.query('rollback to savepoint before_copy')
    return false
  }
  return true
}

/** Which of some points are stored, and with the same value; `missing` are the indexes of the others, ascending. */
export interface Comparison {
  readonly present: number
  readonly equal: number
  readonly missing: Uint32Array
}

/** Compares the points of one partition with what is stored, and adds what is missing. */
export async function merge(
  connection: Connection,
  relations: MetricsRelations,
  points: OrderedPoints,
  run: PartitionRun,
  compare: typeof compareByKey = compareByKey,
): Promise<WriteCounts> {
  const rows = rowsOf(points, run)
  const { present, equal, missing } = await compare(connection, relations, rows, run)
  if (missing.length === 0) return { inserted: 0, duplicates: equal, conflicting: present - equal }
  const rest: PointRows = {
    ids: Int32Array.from(missing, (index) => rows.ids[index]!),
    micros: Float64Array.from(missing, (index) => rows.micros[index]!),
    values: Float64Array.from(missing, (index) => rows.values[index]!),
  }
  const inserted = await insertMissing(connection, relations, rest, run)
  // Another writer was there in between: all that was missing is stored now, by us (`inserted` of it, equal) or by them.
  const late =
    inserted === missing.length
      ? { present: inserted, equal: inserted }
      : await compare(connection, relations, rest, run)
  return {
    inserted,
    duplicates: equal + late.equal - inserted,
    conflicting: present - equal + late.present - late.equal,
  }
}

/** Looks every point up by its key. */
export async function compareByKey(
  connection: Connection,
  relations: MetricsRelations,
  rows: PointRows,
  run: PartitionRun,
): Promise<Comparison> {
  return readComparison(connection, comparisonStatement(relations, run, 'true'), columns(rows))
}

/** What compares `unnest($1, $2, $3)` with the stored points of a partition that `condition` is true of. */
export function comparisonStatement(
  relations: MetricsRelations,
  run: PartitionRun,
  condition: string,
): string {
  return `select count(p.value)::int4 as present, count(*) filter (where p.value = i.value)::int4 as equal,
       coalesce(string_agg(int4send(i.n::int4), ''::bytea) filter (where p.value is null), '') as missing
     from ${POINTS} with ordinality i(series_id, time, value, n)
     left join ${relations.points(run.retention)} p
       on p.series_id = i.series_id and p.time = i.time and ${within(run)} and ${condition}`
}

export async function readComparison(
  connection: Connection,
  statement: string,
  values: readonly Buffer[],
): Promise<Comparison> {
  const [row] = await connection.query<{ present: number; equal: number; missing: Buffer }>(statement, values)
  const missing = new Uint32Array(row!.missing.length / 4)
  for (let i = 0; i < missing.length; i++) missing[i] = row!.missing.readUInt32BE(i * 4) - 1
  return { present: row!.present, equal: row!.equal, missing: missing.sort() }
}

export async function insertMissing(
  connection: Connection,
  relations: MetricsRelations,
  rows: PointRows,
  run: PartitionRun,
): Promise<number> {
  const result = await connection.client.query(
    `insert into ${relations.points(run.retention)} (series_id, time, value) select * from ${POINTS} on conflict do nothing`,
    columns(rows),
  )
  return result.rowCount!
}

export function columns({ ids, micros, values }: PointRows): Buffer[] {
  return [int4Array(ids), timestampArray(micros), float8Array(values)]
}

/** Bounds as literals, so that the plan has this one partition in it. */
export function within(run: Pick<PartitionRun, 'lowerMicros' | 'upperMicros'>): string {
  return isWithin('p.time', run.lowerMicros, run.upperMicros)
}

export function rowsOf({ ids, micros, values }: PointRows, { start, end }: PartitionRun): PointRows {
  return {
    ids: ids.subarray(start, end),
    micros: micros.subarray(start, end),
    values: values.subarray(start, end),
  }
}
