import type { Connection } from '../database/connection.ts'
import type { Database } from '../database/database.ts'
import { timestampArray } from './array-encoder.ts'
import { instantLiteral } from './instant-literal.ts'
import type { RetentionClass } from './metrics-engine.ts'
import { PartitionMap, type PartitionRange } from './partition-map.ts'
import { DAY_MS, RETENTION_CLASSES } from './retention.ts'
import { HOUR_MICROS } from './roll-up-ledger.ts'
import { TIMESCALE_RELATIONS } from './timescale-relations.ts'

/** A chunk of points; the name is quoted, with its schema. */
export interface Chunk extends PartitionRange {
  readonly name: string
}

/**
 * How wide chunks can be, in hours. Every width divides the next, and all count from 1970: two chunks are apart or one of them is the
 * other, and none begins or ends inside a day that it does not lie in.
 */
export const CHUNK_HOURS = { narrowest: 1, quarter: 6, day: 24, far: 364 * 24 } as const

const WIDTHS = Object.values(CHUNK_HOURS)

/** How near to now chunks are as wide as the rate wants them; beyond that nearly a year, so that points of all time make few of them. */
const NEAR_BEFORE_MS = 800 * DAY_MS
const NEAR_AFTER_MS = 40 * DAY_MS

/** How many chunks one transaction makes at most: each holds locks, and the server's lock table has an end. */
const MOST_AT_ONCE = 32

/** Maintenance compresses less often than this. */
const OPEN_AGAIN_AFTER_MS = 30_000

/** No series has this id: they begin at 1. */
const NO_SERIES = 0

/** Bits of a chunk's status: some of it is compressed; some of it came after that, and is not (chunk.h of TimescaleDB). */
const COMPRESSED = 1
const PARTIAL = 8

/** The statement that picks those of these chunks that are compressed, and take no rows beside that yet; not those that are gone. */
export function closedChunksStatement(names: readonly string[]): string {
  const list = names.map((name) => `'${name.replaceAll("'", "''")}'`).join(', ')
  return `select name from unnest(array[${list}]::text[]) name
    where case when to_regclass(name) is not null
      then _timescaledb_functions.chunk_status(name::regclass) & ${COMPRESSED | PARTIAL} = ${COMPRESSED} end`
}

/** Knows the chunks that there are, and makes those that are missing before they are written to. */
export class TimescaleChunks {
  readonly map = new PartitionMap()
  readonly #names = new Map<string, string>()
  /** When a write last asked for chunks to be open, in ms of the process's own clock. */
  readonly #openedAt = new Map<string, number>()
  readonly #database: Database

  constructor(database: Database) {
    this.#database = database
  }

  /** Makes the chunks of these days (epoch ms) where they are missing, and opens those that are closed; answers how many it made. */
  async ensure(
    retention: RetentionClass,
    days: Iterable<number>,
    nowMs: number,
    signal?: AbortSignal,
  ): Promise<number> {
    const wanted = [...new Set(days)].toSorted((a, b) => a - b)
    let created = 0
    for (let isDone = false; !isDone;) {
      const options = { role: 'nomaly_system', signal } as const
      const { value } = await this.#database.transaction(options, (connection) =>
        makeChunks(connection, retention, wanted, nowMs),
      )
      for (const chunk of value.chunks) {
        this.map.add(retention, chunk)
        this.#names.set(keyOf(retention, chunk.lowerMicros), chunk.name)
      }
      if (value.isDone) await this.#open(retention, value.chunks, signal)
      created += value.created
      isDone = value.isDone
    }
    return created
  }

  /**
   * Whether those of the chunks of a write that are `closed`, compressed as a whole, should be opened first: whoever writes into such a one
   * notes that at the chunk, and all others who want to have to wait until that is committed.
   */
  mustOpen(names: readonly string[], closed: readonly string[]): boolean {
    const nowMs = performance.now()
    const isRecent = (name: string): boolean =>
      nowMs - (this.#openedAt.get(name) ?? -Infinity) < OPEN_AGAIN_AFTER_MS
    if (closed.every(isRecent)) return false
    // A write asks once: where its chunks are compressed all the time, it goes on as it is.
    for (const name of names) this.#openedAt.set(name, nowMs)
    return true
  }

  /** Has compressed chunks take rows beside what is compressed, by a row that is gone again at the end of a short transaction. */
  async #open(retention: RetentionClass, chunks: readonly Chunk[], signal?: AbortSignal): Promise<void> {
    const options = { role: 'nomaly_system', freshness: 'latest', signal } as const
    const [closed] = await this.#database.read(options, (connection) =>
      connection.batch([closedChunksStatement(chunks.map(({ name }) => name))], 'commit'),
    )
    const names = new Set((closed as [string][]).map(([name]) => name))
    const points = TIMESCALE_RELATIONS.points(retention)
    for (const { lowerMicros } of chunks.filter(({ name }) => names.has(name))) {
      const row = `series_id = ${NO_SERIES} and time = ${instantLiteral(lowerMicros)}`
      await this.#database.transaction(options, (connection) =>
        connection.batch([
          `insert into ${points} (time, series_id, value) values (${instantLiteral(lowerMicros)}, ${NO_SERIES}, 0)`,
          `delete from ${points} where ${row}`,
        ]),
      )
    }
  }

  /** The chunk of a class that begins at an instant, as the map has it. */
  nameOf(retention: RetentionClass, lowerMicros: number): string {
    return this.#names.get(keyOf(retention, lowerMicros))!
  }

  /** Forgets which chunks there are: another process has dropped some. */
  forgetAll(): void {
    // Names stay: another write may have its plan of chunks already, and finds out by the name that one is gone.
    for (const retention of RETENTION_CLASSES) this.map.forget(retention, Number.POSITIVE_INFINITY)
  }
}

/** The chunks of a class, ascending in time. */
export async function listChunks(connection: Connection, retention: RetentionClass): Promise<Chunk[]> {
  const rows = await connection.query<{ lower: number; upper: number; name: string }>(
    `select extract(epoch from range_start)::float8 * 1000000 as lower, extract(epoch from range_end)::float8 * 1000000 as upper,
       format('%I.%I', chunk_schema, chunk_name) as name
     from timescaledb_information.chunks
     where hypertable_schema || '.' || hypertable_name = $1 order by range_start`,
    [TIMESCALE_RELATIONS.points(retention)],
  )
  return rows.map(({ lower, upper, name }) => ({ lowerMicros: lower, upperMicros: upper, name }))
}

/** The width of chunks to come, in hours. */
export async function usualHours(connection: Connection, retention: RetentionClass): Promise<number> {
  const [row] = await connection.query<{ hours: number }>(
    `select extract(epoch from time_interval)::float8 / 3600 as hours from timescaledb_information.dimensions
     where hypertable_schema || '.' || hypertable_name = $1`,
    [TIMESCALE_RELATIONS.points(retention)],
  )
  return row!.hours
}

/** Makes some of the missing chunks; answers all chunks of these days that there are then, and whether none is missing any more. */
async function makeChunks(
  connection: Connection,
  retention: RetentionClass,
  days: readonly number[],
  nowMs: number,
): Promise<{ chunks: Chunk[]; created: number; isDone: boolean }> {
  // What others make meanwhile, by writing where a chunk was just dropped, has to wait, or is seen.
  await connection.query(`lock table ${TIMESCALE_RELATIONS.points(retention)} in share update exclusive mode`)
  const known = await listChunks(connection, retention)
  const missing = missingRanges(days, known, await usualHours(connection, retention), nowMs)
  const now = missing.slice(0, MOST_AT_ONCE)
  if (now.length > 0)
    await connection.query(
      `select c.* from unnest($1::timestamptz[], $2::timestamptz[]) r(lower, upper)
       cross join lateral _timescaledb_functions.create_chunk('${TIMESCALE_RELATIONS.points(retention)}', jsonb_build_object('time',
         jsonb_build_array((extract(epoch from lower) * 1000000)::int8, (extract(epoch from upper) * 1000000)::int8))) c`,
      [
        timestampArray(Float64Array.from(now, ({ lowerMicros }) => lowerMicros)),
        timestampArray(Float64Array.from(now, ({ upperMicros }) => upperMicros)),
      ],
    )
  const all = now.length > 0 ? await listChunks(connection, retention) : known
  const isNeeded = ({ lowerMicros, upperMicros }: Chunk): boolean =>
    days.some((day) => lowerMicros < (day + DAY_MS) * 1000 && upperMicros > day * 1000)
  return { chunks: all.filter(isNeeded), created: now.length, isDone: now.length === missing.length }
}

/** The ranges of chunks that have to be made so that none of the days, ascending, has a gap. */
export function missingRanges(
  days: readonly number[],
  known: readonly PartitionRange[],
  usual: number,
  nowMs: number,
): PartitionRange[] {
  const ranges = known.toSorted((a, b) => a.lowerMicros - b.lowerMicros)
  const missing: PartitionRange[] = []
  for (const day of days)
    for (let micros = day * 1000; micros < (day + DAY_MS) * 1000;) {
      let range = findRange(ranges, micros)
      if (range === undefined) {
        range = newRange(micros, ranges, usual, nowMs)
        missing.push(range)
        ranges.splice(placeOf(ranges, range.lowerMicros), 0, range)
      }
      micros = range.upperMicros
    }
  return missing
}

function newRange(
  micros: number,
  known: readonly PartitionRange[],
  usual: number,
  nowMs: number,
): PartitionRange {
  const candidates = WIDTHS.filter((hours) => hours <= usual || hours === CHUNK_HOURS.far).toReversed()
  for (const hours of candidates) {
    const width = hours * HOUR_MICROS
    const lowerMicros = micros - (micros % width)
    const range = { lowerMicros, upperMicros: lowerMicros + width }
    const isFar =
      range.upperMicros <= (nowMs - NEAR_BEFORE_MS) * 1000 || lowerMicros > (nowMs + NEAR_AFTER_MS) * 1000
    if (hours === CHUNK_HOURS.far && !isFar) continue
    const next = known[placeOf(known, lowerMicros)]
    if (next === undefined || next.lowerMicros >= range.upperMicros) return range
  }
  // Narrower chunks than these are never made: what is left is an hour between two of them.
  throw new Error(`no room for a chunk at ${micros}`)
}

/** Where a range that starts here belongs among ranges in ascending order. */
function placeOf(ranges: readonly PartitionRange[], lowerMicros: number): number {
  let low = 0
  let high = ranges.length
  while (low < high) {
    const middle = (low + high) >>> 1
    if (ranges[middle]!.upperMicros <= lowerMicros) low = middle + 1
    else high = middle
  }
  return low
}

function findRange(ranges: readonly PartitionRange[], micros: number): PartitionRange | undefined {
  const range = ranges[placeOf(ranges, micros)]
  return range !== undefined && range.lowerMicros <= micros ? range : undefined
}

function keyOf(retention: RetentionClass, lowerMicros: number): string {
  return `${retention} ${lowerMicros}`
}
