import type { Connection } from '../database/connection.ts'
import type { Database } from '../database/database.ts'
import type { RetentionClass } from './metrics-engine.ts'
import type { MetricsRelations } from './metrics-relations.ts'
import { instantLiteral, utcDay } from './instant-literal.ts'
import {
  DAY_MICROS,
  HOUR_MICROS,
  type StateRow,
  stateStatement,
  toBounds,
  WHOLE_DAY,
} from './roll-up-ledger.ts'
import { awaitAllWriters } from './source-lock.ts'

/** Up to so much is closed by marking all series that are not over; beyond that it is looked up where points are. */
const MOST_UNSEEN_MICROS = 2 * DAY_MICROS

/** How much is closed in one transaction. */
const STEP_MICROS = 366 * DAY_MICROS

/** Long enough to read all points of a step. */
const STEP_TIMEOUT_MS = 600_000

export interface Closing {
  readonly database: Database
  readonly relations: MetricsRelations
  /**
   * The start, in epoch microseconds, of the first partition or chunk of a class that ends after an instant; `undefined` where there is
   * none. Called as `nomaly_system`.
   */
  readonly firstStored: (
    connection: Connection,
    retention: RetentionClass,
    afterMicros: number,
  ) => Promise<number | undefined>
}

/** The hour up to which everything may be closed at a time, in epoch microseconds: what has ended, since what comes later is marked anyway. */
export function closableUntil(nowMs: number): number {
  const micros = nowMs * 1000
  return Math.max(0, micros - (micros % HOUR_MICROS))
}

/**
 * Closes the hours of all classes up to `untilMicros`, the start of an hour: announces it, waits for writes that may not have
 * heard, and marks what points there are as behind, so that the roll-ups of these hours are made as those of late points are.
 */
export async function closeHours(closing: Closing, untilMicros: number, signal?: AbortSignal): Promise<void> {
  const { database, relations } = closing
  const closed = await database.read({ role: 'nomaly_system', freshness: 'latest', signal }, (connection) =>
    connection.query<StateRow>(stateStatement(relations, 'closed_until')),
  )
  const due = [...toBounds(closed)]
    .filter(([, micros]) => micros < untilMicros)
    .map(([retention]) => retention)
  if (due.length === 0) return
  await database.transaction({ role: 'nomaly_system', signal }, (connection) =>
    connection.query(
      `update ${relations.state} set closing_until = ${instantLiteral(untilMicros)}
       where retention = any($1) and closing_until < ${instantLiteral(untilMicros)}`,
      [due],
    ),
  )
  // Whoever writes from now on marks what it writes before that; those who began before are over when this returns.
  await awaitAllWriters(database, signal)
  for (const retention of due)
    while (await closeStep(closing, retention, untilMicros, signal)) signal?.throwIfAborted()
}

/** Closes some of the hours of a class; false when nothing is left to close. */
async function closeStep(
  { database, relations, firstStored }: Closing,
  retention: RetentionClass,
  untilMicros: number,
  signal: AbortSignal | undefined,
): Promise<boolean> {
  const options = { role: 'nomaly_system', signal, timeoutMs: STEP_TIMEOUT_MS } as const
  const { value } = await database.transaction(options, async (connection) => {
    // Locked: another process may be closing too.
    const [row] = await connection.query<StateRow>(
      `${stateStatement(relations, 'closed_until')} where retention = $1 for update`,
      [retention],
    )
    const closed = row!.micros
    if (closed >= untilMicros) return false
    const stored = await firstStored(connection, retention, Math.max(0, closed))
    const from = Math.max(closed, Math.min(stored ?? untilMicros, untilMicros))
    const until = Math.min(untilMicros, from + STEP_MICROS)
    if (from < until && until - from > MOST_UNSEEN_MICROS)
      await markStored(connection, relations, retention, from, until)
    else if (from < until) await markAll(connection, relations, retention, from, until)
    await connection.query(
      `update ${relations.state} set closed_until = ${instantLiteral(until)} where retention = $1`,
      [retention],
    )
    return until < untilMicros
  })
  return value
}

/** Marks hours of all series of a class whose newest point is not before them: among these are all that have points there. */
async function markAll(
  connection: Connection,
  relations: MetricsRelations,
  retention: RetentionClass,
  fromMicros: number,
  untilMicros: number,
): Promise<void> {
  const days: string[] = []
  for (let day = fromMicros - (fromMicros % DAY_MICROS); day < untilMicros; day += DAY_MICROS) {
    const first = Math.max(0, (fromMicros - day) / HOUR_MICROS)
    const end = Math.min(24, (untilMicros - day) / HOUR_MICROS)
    const hours = (WHOLE_DAY >>> (24 - end)) & ~(2 ** first - 1)
    days.push(`(${instantLiteral(day)}, ${hours})`)
  }
  await connection.query(
    `insert into ${relations.late(retention)} (day, series_id, hours)
     select d.day, l.series_id, d.hours
     from metrics.latest_points l join metrics.series s on s.id = l.series_id
     cross join (values ${days.join(', ')}) d(day, hours)
     where s.retention = $1 and l.time >= ${instantLiteral(fromMicros)}
     order by 1, 2`,
    [retention],
  )
}

/**
 * Marks the hours in which there are points: reads all of them, which is what hours cost that are closed for the first time after years. A
 * series with a point in the far future would have every hour of the past marked otherwise.
 */
async function markStored(
  connection: Connection,
  relations: MetricsRelations,
  retention: RetentionClass,
  fromMicros: number,
  untilMicros: number,
): Promise<void> {
  await connection.query(
    `insert into ${relations.late(retention)} (day, series_id, hours)
     select ${utcDay('hour')}, series_id,
       bit_or(1 << date_part('hour', hour at time zone 'UTC')::int)
     from (
       select series_id, date_bin(interval '1 hour', time, timestamptz '1970-01-01Z') as hour from ${relations.points(retention)}
       where time >= ${instantLiteral(fromMicros)} and time < ${instantLiteral(untilMicros)} group by 1, 2
     ) h
     group by 1, 2 order by 1, 2`,
  )
}
