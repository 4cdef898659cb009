import type { Connection } from '../database/connection.ts'
import { timestampArray } from './array-encoder.ts'
import { instantLiteral } from './instant-literal.ts'
import type { RetentionClass } from './metrics-engine.ts'
import { DAY_MICROS, HOUR_MICROS } from './roll-up-ledger.ts'

/** Some seconds of work: what is locked meanwhile waits for no longer than that, and no more has to be done again after a crash. */
export const WINDOW_POINTS = 500_000

/** What is touched in one transaction is locked, and the server's lock table has an end. */
export const WINDOW_DAYS = 31

/** How many points there are from an instant on, for a day or an hour; epoch microseconds. */
export interface PointCount {
  readonly micros: number
  readonly points: number
}

export interface BackfillWindow {
  readonly lowerMicros: number
  /** Outside. */
  readonly upperMicros: number
  /** Starts of the UTC days in which there are points. */
  readonly days: readonly number[]
  readonly points: number
}

/**
 * Lays out windows over days, ascending, that together hold all of them: whole days, as many as fit, and hours of a day that has too
 * many points. An hour is never cut.
 */
export function planWindows(
  days: readonly PointCount[],
  hoursOf: (dayMicros: number) => readonly PointCount[],
  maxPoints: number = WINDOW_POINTS,
): BackfillWindow[] {
  const windows: BackfillWindow[] = []
  const add = (pieces: readonly PointCount[], widthMicros: number, maxWidthMicros: number): void => {
    let open: { lowerMicros: number; upperMicros: number; days: number[]; points: number } | undefined
    for (const { micros, points } of pieces) {
      const day = micros - (micros % DAY_MICROS)
      const fits =
        open !== undefined &&
        open.points + points <= maxPoints &&
        micros + widthMicros - open.lowerMicros <= maxWidthMicros
      if (open === undefined || !fits) {
        open = { lowerMicros: micros, upperMicros: 0, days: [], points: 0 }
        windows.push(open)
      }
      open.upperMicros = micros + widthMicros
      open.points += points
      if (open.days.at(-1) !== day) open.days.push(day)
    }
  }
  let together: PointCount[] = []
  for (const day of days) {
    if (day.points <= maxPoints) {
      together.push(day)
      continue
    }
    add(together, DAY_MICROS, WINDOW_DAYS * DAY_MICROS)
    together = []
    add(hoursOf(day.micros), HOUR_MICROS, DAY_MICROS)
  }
  add(together, DAY_MICROS, WINDOW_DAYS * DAY_MICROS)
  return windows
}

/** What lays out the windows of a backfill has to know of it. */
export interface PlannedBackfill {
  readonly id: string
  readonly tenantId: string
  /** Its points. */
  readonly table: string
}

/** Counts the points of a backfill, lays out its windows and stores them, as `nomaly_system`. */
export async function storeWindows(connection: Connection, backfill: PlannedBackfill): Promise<void> {
  const days = await countBy(connection, backfill.table, DAY_MICROS, 'true')
  const crowded = days.filter(({ points }) => points > WINDOW_POINTS)
  const hours = new Map<string, PointCount[]>()
  for (const { micros } of new Map(crowded.map((day) => [day.micros, day])).values()) {
    const within = `time >= ${instantLiteral(micros)} and time < ${instantLiteral(micros + DAY_MICROS)}`
    for (const hour of await countBy(connection, backfill.table, HOUR_MICROS, within)) {
      const key = `${hour.retention} ${micros}`
      hours.set(key, [...(hours.get(key) ?? []), hour])
    }
  }
  for (const [retention, counts] of Map.groupBy(days, (day) => day.retention)) {
    const windows = planWindows(counts, (micros) => hours.get(`${retention} ${micros}`) ?? [])
    for (const { lowerMicros, upperMicros, days: touched, points } of windows)
      await connection.query(
        `insert into metrics.backfill_windows (backfill_id, tenant_id, retention, lower, upper, days, points)
         values ($1, $2, $3, ${instantLiteral(lowerMicros)}, ${instantLiteral(upperMicros)}, $4, $5)`,
        [backfill.id, backfill.tenantId, retention, timestampArray(Float64Array.from(touched)), points],
      )
  }
}

/** Ascending in time. */
async function countBy(
  connection: Connection,
  table: string,
  widthMicros: number,
  condition: string,
): Promise<(PointCount & { readonly retention: RetentionClass })[]> {
  // Of series that have been removed meanwhile nothing is left to be merged into.
  return connection.query(
    `select s.retention, extract(epoch from c.start)::float8 * 1000000 as micros, sum(c.points)::float8 as points
     from (
       select series_id, date_bin(interval '${widthMicros / HOUR_MICROS} hours', time, timestamptz '1970-01-01Z') as start,
         count(*) as points
       from ${table} where ${condition} group by 1, 2
     ) c join metrics.series s on s.id = c.series_id
     group by 1, 2 order by 2`,
  )
}
