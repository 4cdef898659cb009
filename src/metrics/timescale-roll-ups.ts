import { whileAlone } from '../database/advisory-lock.ts'
import type { Connection } from '../database/connection.ts'
import type { Database } from '../database/database.ts'
import { instantLiteral } from './instant-literal.ts'
import type { RetentionClass, RollUpReport } from './metrics-engine.ts'
import type { MicrosRange } from './micros-range.ts'
import { RETENTION_CLASSES } from './retention.ts'
import { closableUntil, closeHours } from './roll-up-closing.ts'
import {
  countHours,
  DAY_MICROS,
  HOUR_MICROS,
  type SeriesDays,
  toSeriesDays,
  WHOLE_DAY,
} from './roll-up-ledger.ts'
import { newestMark, rollUpsKey } from './roll-up-marks.ts'
import { listChunks } from './timescale-chunks.ts'
import { TIMESCALE_RELATIONS } from './timescale-relations.ts'

/** Days of series whose marks are worked off at once. */
const DAYS_AT_ONCE = 20_000

/** Hours without a mark that a refresh runs over: it does nothing there where nothing changed, and costs more than that to begin. */
const BRIDGED_MICROS = 24 * HOUR_MICROS

/** The longest stretch of one refresh. */
const MOST_AT_ONCE_MICROS = 7 * DAY_MICROS

const REFRESH_TIMEOUT_MS = 600_000

/** Keeps continuous aggregates right from the marks of the ledger. */
export class TimescaleRollUps {
  readonly #database: Database

  constructor(database: Database) {
    this.#database = database
  }

  /** As `MetricsEngine.rollUp`. */
  async rollUp(nowMs: number, signal?: AbortSignal): Promise<RollUpReport> {
    const closing = { database: this.#database, relations: TIMESCALE_RELATIONS, firstStored }
    await closeHours(closing, closableUntil(nowMs), signal)
    let hoursRefreshed = 0
    let hasMore = false
    for (const retention of RETENTION_CLASSES) {
      const newest = await newestMark(this.#database, TIMESCALE_RELATIONS, retention, signal)
      if (newest === undefined) continue
      hoursRefreshed += await this.#workOff(retention, newest, signal)
      hasMore ||= (await newestMark(this.#database, TIMESCALE_RELATIONS, retention, signal)) !== undefined
    }
    return { hoursRefreshed, hasMore }
  }

  /** Works off the marks up to `newest`, unless another process does so now; answers how many hours of series they were of. */
  async #workOff(
    retention: RetentionClass,
    newest: string,
    signal: AbortSignal | undefined,
  ): Promise<number> {
    const options = { role: 'nomaly_system', signal, timeoutMs: REFRESH_TIMEOUT_MS } as const
    const hours = await whileAlone(this.#database, rollUpsKey(retention), options, async (session) => {
      // TimescaleDB plans what it materializes, and takes the snapshot for it after that: what somebody unpacks in between is gone for the
      // compressed part of the chunk, and the plan knows of no other. With one snapshot for a transaction the plan is the younger of the two.
      await session.query("set default_transaction_isolation = 'repeatable read'")
      let worked = 0
      for (;;) {
        signal?.throwIfAborted()
        const taken = await readMarks(session, retention, newest)
        if (taken.marks.length === 0) return worked
        // Everything that is refreshed from here on sees what was written with these marks. Those that come meanwhile stay.
        await refresh(session, retention, taken.days)
        await session.query(
          `delete from ${TIMESCALE_RELATIONS.late(retention)} where day >= ${instantLiteral(taken.days.days[0]!)}
             and day <= ${instantLiteral(taken.days.days.at(-1)!)} and id = any($1::int8[])`,
          [taken.marks],
        )
        worked += countHours(taken.days)
      }
    })
    return hours ?? 0
  }
}

interface Marks {
  readonly days: SeriesDays
  /** Their ids. */
  readonly marks: readonly string[]
}

async function readMarks(session: Connection, retention: RetentionClass, newest: string): Promise<Marks> {
  const rows = await session.query<{ series_id: number; micros: number; hours: number; marks: string }>(
    `select series_id, date_part('epoch', day) * 1000000 as micros, bit_or(hours) as hours, string_agg(id::text, ',') as marks
     from ${TIMESCALE_RELATIONS.late(retention)} where id <= $1
     group by day, series_id order by day, series_id limit ${DAYS_AT_ONCE}`,
    [newest],
  )
  return { days: toSeriesDays(rows), marks: rows.flatMap(({ marks }) => marks.split(',')) }
}

/** Refreshes the hours that are marked, and then the days that they lie in. */
async function refresh(session: Connection, retention: RetentionClass, marked: SeriesDays): Promise<void> {
  const wholeDays = { ...marked, hours: marked.hours.map(() => WHOLE_DAY) }
  const steps = [
    ...windowsOf(marked).map((window) => ({ view: TIMESCALE_RELATIONS.hourly(retention), window })),
    ...windowsOf(wholeDays).map((window) => ({ view: TIMESCALE_RELATIONS.daily(retention), window })),
  ]
  // Simple statements: TimescaleDB's procedures commit, and PostgreSQL 15.20 loses the portal of any other in that.
  for (const { view, window } of steps)
    await session.query(
      `call public.refresh_continuous_aggregate('${view}', ${instantLiteral(window.fromMicros)}, ${instantLiteral(window.toMicros)})`,
    )
}

/** The stretches of time in which hours are marked, of any series: those that are near each other in one. */
export function windowsOf({ days, hours }: Pick<SeriesDays, 'days' | 'hours'>): MicrosRange[] {
  const byDay = new Map<number, number>()
  for (const [i, day] of days.entries()) byDay.set(day, (byDay.get(day) ?? 0) | hours[i]!)
  const windows: { fromMicros: number; toMicros: number }[] = []
  for (const [day, bits] of [...byDay].toSorted(([a], [b]) => a - b))
    for (let hour = 0; hour < 24; hour++) {
      if (((bits >>> hour) & 1) === 0) continue
      const fromMicros = day + hour * HOUR_MICROS
      const toMicros = fromMicros + HOUR_MICROS
      const last = windows.at(-1)
      if (
        last !== undefined &&
        fromMicros - last.toMicros <= BRIDGED_MICROS &&
        toMicros - last.fromMicros <= MOST_AT_ONCE_MICROS
      )
        last.toMicros = toMicros
      else windows.push({ fromMicros, toMicros })
    }
  return windows
}

async function firstStored(
  connection: Connection,
  retention: RetentionClass,
  afterMicros: number,
): Promise<number | undefined> {
  const chunks = await listChunks(connection, retention)
  return chunks.find(({ upperMicros }) => upperMicros > afterMicros)?.lowerMicros
}
