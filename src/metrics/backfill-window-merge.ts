import type { Connection } from '../database/connection.ts'
import { sqlState } from '../database/database-errors.ts'
import { int4Array, timestampArray } from './array-encoder.ts'
import type { MergeStorage } from './backfill-merge.ts'
import type { EngineState } from './engine-state.ts'
import { instantLiteral, utcDay } from './instant-literal.ts'
import type { RetentionClass, SeriesSource } from './metrics-engine.ts'
import type { MetricsRelations } from './metrics-relations.ts'
import type { PartitionRange } from './partition-map.ts'
import { beginWriting } from './point-writer.ts'
import { DAY_MS, retentionCutoffMs } from './retention.ts'
import { HOUR_MICROS } from './roll-up-ledger.ts'

/** A window that waits to be merged. */
export interface NextWindow {
  readonly retention: RetentionClass
  readonly lowerMicros: number
  readonly upperMicros: number
  /** Starts of UTC days, epoch milliseconds. */
  readonly days: readonly number[]
  readonly points: number
  /** Whether the backfill has series of other classes too. */
  readonly isOneOfSeveral: boolean
}

export interface WindowCounts {
  readonly inserted: number
  readonly duplicates: number
  readonly conflicting: number
  readonly expired: number
}

export interface Merging {
  readonly connection: Connection
  readonly relations: MetricsRelations
  readonly storage: MergeStorage
  readonly state: EngineState
  /** The points of the backfill. */
  readonly table: string
  readonly nowMs: number
}

const UNIQUE_VIOLATION = '23505'

const DAY = utcDay('time')

/**
 * Puts the points of one window where points are, with newest points, marks and journal, as one append of them would. Begins as any role
 * with the locks of a write, and ends as `nomaly_system`.
 * @throws UnknownPartitions where there is no room for them yet.
 */
export async function mergeWindow(
  merging: Merging,
  source: SeriesSource,
  window: NextWindow,
): Promise<WindowCounts> {
  const { connection, relations, storage, nowMs } = merging
  const { retention, upperMicros } = window
  const cutoffMs = Math.max(retentionCutoffMs(source.retention, nowMs), retentionCutoffMs(retention, nowMs))
  const lowerMicros = Math.max(window.lowerMicros, Math.ceil(cutoffMs * 1000))
  if (lowerMicros >= upperMicros)
    return { inserted: 0, duplicates: 0, conflicting: 0, expired: window.points }
  const days = window.days.filter((day) => (day + DAY_MS) * 1000 > lowerMicros)
  const ranges = locate(storage, retention, days)
  const closing = await beginWriting(connection, relations)
  await connection.query(
    "set local enable_hashjoin = on; set local enable_mergejoin = on; set local work_mem = '64MB'",
  )
  await storage.hold?.(connection, retention, ranges, days)
  const own = new OwnPoints(merging, source, window)
  const points =
    lowerMicros === window.lowerMicros ? window.points : await own.count({ lowerMicros, upperMicros })
  const pieces = ranges
    .map((range) => ({
      lowerMicros: Math.max(range.lowerMicros, lowerMicros),
      upperMicros: Math.min(range.upperMicros, upperMicros),
    }))
    .filter((piece) => piece.lowerMicros < piece.upperMicros)
  let inserted = 0
  for (const piece of pieces) inserted += await own.insert(piece)
  let equal = inserted
  // What is there twice, or was there before, is compared with what is there now: whoever was quicker, it stays as it is.
  if (inserted < points) {
    equal = 0
    for (const piece of pieces) equal += await own.countEqual(piece)
  }
  if (inserted > 0) {
    const bound = closing.get(retention) ?? Number.NEGATIVE_INFINITY
    await own.mark({ lowerMicros, upperMicros: Math.min(upperMicros, bound) })
    await own.journal({ lowerMicros, upperMicros: Math.min(upperMicros, merging.state.movingUntilMicros) })
    await own.updateLatest({ lowerMicros, upperMicros })
  }
  return {
    inserted,
    duplicates: equal - inserted,
    conflicting: points - equal,
    expired: window.points - points,
  }
}

/** The partitions or chunks of these days. */
function locate(
  storage: MergeStorage,
  retention: RetentionClass,
  days: readonly number[],
): readonly PartitionRange[] {
  // None is narrower than an hour, or begins within one.
  const hours = Float64Array.from(
    days.flatMap((day) => Array.from({ length: 24 }, (_, hour) => day * 1000 + hour * HOUR_MICROS)),
  )
  return storage.map.locate(Uint32Array.from(hours.keys()), hours, () => retention).ranges
}

/** The points that a backfill has in a window, and what is done with them; as `nomaly_system`. */
class OwnPoints {
  readonly #connection: Connection
  readonly #table: string
  readonly #points: string
  readonly #late: string
  readonly #retention: RetentionClass
  /** True of the points of this class. */
  readonly #isOfClass: string
  /** Until one was found that is there already. */
  #areNew = true

  constructor({ connection, relations, table }: Merging, source: SeriesSource, window: NextWindow) {
    this.#connection = connection
    this.#table = table
    this.#retention = window.retention
    this.#points = relations.points(window.retention)
    this.#late = relations.late(window.retention)
    // The id was checked to be a UUID when the source was locked.
    this.#isOfClass = window.isOneOfSeveral
      ? `s.series_id in (select id from metrics.series where source_id = '${source.id}' and retention = '${window.retention}')`
      : 'true'
  }

  async count(range: PartitionRange): Promise<number> {
    const [row] = await this.#connection.query<{ points: number }>(
      `select count(*)::float8 as points from ${this.#from(range)}`,
    )
    return row!.points
  }

  /** Adds what is missing, in the order in which all writers do. */
  async insert(range: PartitionRange): Promise<number> {
    const statement = `insert into ${this.#points} (time, series_id, value)
       select distinct on (series_id, time) time, series_id, value from ${this.#from(range)} order by series_id, time, part`
    // Without looking for what is there it takes half the time, and old points are mostly new.
    if (this.#areNew) {
      await this.#connection.query('savepoint before_insert')
      try {
        return (await this.#connection.client.query(statement)).rowCount!
      } catch (error) {
        if (sqlState(error) !== UNIQUE_VIOLATION) throw error
        await this.#connection.query('rollback to savepoint before_insert')
        this.#areNew = false
      }
    }
    return (await this.#connection.client.query(`${statement} on conflict do nothing`)).rowCount!
  }

  /** How many of the points are as they are stored; all of them are. */
  async countEqual(range: PartitionRange): Promise<number> {
    const [row] = await this.#connection.query<{ equal: number }>(
      `select count(*)::float8 as equal from (select series_id, time, value from ${this.#from(range)}) i
       join ${this.#points} p on p.series_id = i.series_id and p.time = i.time and p.value = i.value
       where p.series_id = any (array(select distinct series_id from ${this.#from(range)}))
         and p.time >= ${instantLiteral(range.lowerMicros)} and p.time < ${instantLiteral(range.upperMicros)}`,
    )
    return row!.equal
  }

  /** As `markLate`. */
  async mark(range: PartitionRange): Promise<void> {
    if (range.lowerMicros >= range.upperMicros) return
    await this.#connection.query(
      `insert into ${this.#late} (day, series_id, hours)
       select ${DAY}, series_id, bit_or(1 << date_part('hour', time at time zone 'UTC')::int) from ${this.#from(range)}
       group by 1, 2 order by 1, 2`,
    )
  }

  /** As `journalPoints`. */
  async journal(range: PartitionRange): Promise<void> {
    if (range.lowerMicros >= range.upperMicros) return
    await this.#connection.query(
      `insert into metrics.move_journal (retention, day, series_id)
       select distinct '${this.#retention}', ${DAY}, series_id from ${this.#from(range)}`,
    )
  }

  /** As `updateLatest`. */
  async updateLatest(range: PartitionRange): Promise<void> {
    // In the order in which all writers lock them.
    const newer = await this.#connection.query<{ series_id: number; micros: string }>(
      `select l.series_id, (extract(epoch from i.time) * 1000000)::int8 as micros
       from (select series_id, max(time) as time from ${this.#from(range)} group by 1) i
       join metrics.latest_points l on l.series_id = i.series_id
       where l.time < i.time order by l.series_id for update of l`,
    )
    if (newer.length === 0) return
    await this.#connection.query(
      `update metrics.latest_points l set time = p.time, value = p.value
       from unnest($1::int4[], $2::timestamptz[]) i(series_id, time) cross join lateral (
         select p.time, p.value from ${this.#points} p where p.series_id = i.series_id and p.time = i.time
           and p.time >= ${instantLiteral(range.lowerMicros)} and p.time < ${instantLiteral(range.upperMicros)} offset 0) p
       where l.series_id = i.series_id`,
      [
        int4Array(Int32Array.from(newer, (row) => row.series_id)),
        timestampArray(Float64Array.from(newer, (row) => Number(row.micros))),
      ],
    )
  }

  #from({ lowerMicros, upperMicros }: PartitionRange): string {
    return `${this.#table} s where s.time >= ${instantLiteral(lowerMicros)} and s.time < ${instantLiteral(upperMicros)} and ${this.#isOfClass}`
  }
}
