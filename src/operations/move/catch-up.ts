import type { Connection } from '../../database/connection.ts'
import type { Database } from '../../database/database.ts'
import { int4Array, timestampArray } from '../../metrics/array-encoder.ts'
import { instantLiteral } from '../../metrics/instant-literal.ts'
import type { RetentionClass, SeriesId } from '../../metrics/metrics-engine.ts'
import type { MoveSide } from '../../metrics/move-side.ts'
import { RETENTION_CLASSES } from '../../metrics/retention.ts'
import { DAY_MICROS, WHOLE_DAY } from '../../metrics/roll-up-ledger.ts'

/** Entries of the journal that are worked off in one transaction. */
const ENTRIES_AT_ONCE = 20_000

const CATCH_UP_TIMEOUT_MS = 600_000

/** Some of the journal: which days of which series have to be copied again, and which series are gone. */
export interface JournalPart {
  readonly ids: readonly string[]
  readonly days: ReadonlyMap<RetentionClass, { readonly series: SeriesId[]; readonly micros: number[] }>
  readonly gone: ReadonlyMap<RetentionClass, SeriesId[]>
}

/** Works off what the journal has now; answers how many entries that were. */
export async function catchUp(
  database: Database,
  source: MoveSide,
  target: MoveSide,
  nowMs: number,
  signal: AbortSignal,
): Promise<number> {
  let entries = 0
  for (;;) {
    signal.throwIfAborted()
    const read = { role: 'nomaly_system', freshness: 'latest', signal } as const
    const part = await database.read(read, readJournal)
    if (part.ids.length === 0) return entries
    await makeRoom(target, part, nowMs, signal)
    const options = { role: 'nomaly_system', signal, timeoutMs: CATCH_UP_TIMEOUT_MS } as const
    await database.transaction(options, async (connection) => {
      await source.begin(connection)
      await target.begin(connection)
      await workOff(connection, source, target, part)
    })
    entries += part.ids.length
    if (part.ids.length < ENTRIES_AT_ONCE) return entries
  }
}

/** The oldest entries of the journal. */
export async function readJournal(connection: Connection): Promise<JournalPart> {
  const rows = await connection.query<{
    id: string
    retention: RetentionClass
    series_id: number
    micros: number
  }>(
    `select id, retention, series_id, date_part('epoch', day) * 1000000 as micros
     from metrics.move_journal order by id limit ${ENTRIES_AT_ONCE}`,
  )
  const days = new Map<RetentionClass, { series: SeriesId[]; micros: number[] }>()
  const gone = new Map<RetentionClass, SeriesId[]>()
  const seen = new Set<string>()
  for (const { retention, series_id: series, micros } of rows) {
    const key = `${retention} ${series} ${micros}`
    if (seen.has(key)) continue
    seen.add(key)
    if (micros === Number.NEGATIVE_INFINITY) {
      const of = gone.get(retention) ?? []
      gone.set(retention, of)
      of.push(series)
    } else {
      const of = days.get(retention) ?? { series: [], micros: [] }
      days.set(retention, of)
      of.series.push(series)
      of.micros.push(micros)
    }
  }
  return { ids: rows.map(({ id }) => id), days, gone }
}

/** Makes room for the days of a part of the journal. */
export async function makeRoom(
  target: MoveSide,
  { days }: JournalPart,
  nowMs: number,
  signal: AbortSignal,
): Promise<void> {
  for (const [retention, { micros }] of days)
    await target.ensure(retention, new Set(micros.map((one) => one / 1000)), nowMs, signal)
}

/** Takes these entries out of the journal and copies what they name as it is now. */
export async function workOff(
  connection: Connection,
  source: MoveSide,
  target: MoveSide,
  { ids, days, gone }: JournalPart,
): Promise<void> {
  await connection.query('delete from metrics.move_journal where id = any($1::int8[])', [ids])
  // What these statements see is at least what the transactions wrote whose entries were taken.
  for (const retention of RETENTION_CLASSES) {
    const removed = gone.get(retention)
    if (removed !== undefined) {
      await connection.query(
        `delete from ${target.relations.points(retention)} where series_id = any($1::int4[])`,
        [int4Array(Int32Array.from(removed))],
      )
      await target.deleteRolledUp(connection, retention, removed)
    }
    const written = days.get(retention)
    if (written !== undefined)
      await copyDays(connection, source, target, retention, written.series, written.micros)
  }
}

async function copyDays(
  connection: Connection,
  source: MoveSide,
  target: MoveSide,
  retention: RetentionClass,
  series: readonly SeriesId[],
  micros: readonly number[],
): Promise<void> {
  const named = [int4Array(Int32Array.from(series)), timestampArray(Float64Array.from(micros))]
  const from = instantLiteral(micros.reduce((a, b) => Math.min(a, b)))
  const to = instantLiteral(micros.reduce((a, b) => Math.max(a, b)) + DAY_MICROS)
  const DAYS = 'unnest($1::int4[], $2::timestamptz[]) j(id, day)'
  await connection.query('set local jit = off; set local enable_mergejoin = off')
  await connection.query(
    `delete from ${target.relations.points(retention)} p using ${DAYS}
     where p.series_id = j.id and p.time >= j.day and p.time < j.day + interval '24 hours' and p.time >= ${from} and p.time < ${to}`,
    named,
  )
  await connection.query(
    `insert into ${target.relations.points(retention)} (time, series_id, value)
     select p.time, p.series_id, p.value from ${DAYS} cross join lateral (
       select time, series_id, value from ${source.relations.points(retention)}
       where series_id = j.id and time >= j.day and time < j.day + interval '24 hours' and time >= ${from} and time < ${to} offset 0) p`,
    named,
  )
  await connection.query(
    `insert into ${target.relations.late(retention)} (day, series_id, hours) select j.day, j.id, ${WHOLE_DAY} from ${DAYS}`,
    named,
  )
}
