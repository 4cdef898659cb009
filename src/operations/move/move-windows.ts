import type { Connection } from '../../database/connection.ts'
import type { Database } from '../../database/database.ts'
import { timestampArray } from '../../metrics/array-encoder.ts'
import { instantLiteral, isWithin, utcDay } from '../../metrics/instant-literal.ts'
import type { RetentionClass } from '../../metrics/metrics-engine.ts'
import type { MoveSide, StoredRange } from '../../metrics/move-side.ts'
import { DAY_MS, RETENTION_CLASSES } from '../../metrics/retention.ts'

/** Points of one window, about: some ten seconds of work, which are lost where it is interrupted. */
const POINTS_AT_ONCE = 2_000_000

const DAY_MICROS = DAY_MS * 1000

const WINDOW_TIMEOUT_MS = 1_800_000

/** A stretch of time of a class that is copied at once: whole days, of one partition or chunk. */
export interface MoveWindow {
  readonly retention: RetentionClass
  readonly lowerMicros: number
  readonly upperMicros: number
  readonly isCopied: boolean
  readonly isVerified: boolean
}

/** What points there are on one side: how many, and the sum of their hashes, which does not depend on their order. */
export interface Checksum {
  readonly points: number
  readonly sum: string
}

/** Notes the windows of what is stored and not noted yet; answers all windows, by the end of their time. */
export async function listWindows(database: Database, source: MoveSide): Promise<MoveWindow[]> {
  const { value } = await database.transaction({ role: 'nomaly_system' }, async (connection) => {
    for (const retention of RETENTION_CLASSES) {
      const pieces = (await source.ranges(connection, retention)).flatMap(cut)
      await connection.query(
        `insert into metrics.move_windows (retention, lower, upper)
         select $1, n.lower, n.upper from unnest($2::timestamptz[], $3::timestamptz[]) n(lower, upper)
         where not exists (select from metrics.move_windows w
           where w.retention = $1 and w.lower < n.upper and w.upper > n.lower)`,
        [
          retention,
          timestampArray(Float64Array.from(pieces, ({ lowerMicros }) => lowerMicros)),
          timestampArray(Float64Array.from(pieces, ({ upperMicros }) => upperMicros)),
        ],
      )
    }
    return connection.query<{
      retention: RetentionClass
      lower: number
      upper: number
      copied: boolean
      verified: boolean
    }>(
      `select retention, extract(epoch from lower)::float8 * 1000000 as lower, extract(epoch from upper)::float8 * 1000000 as upper,
         copied_at is not null as copied, verified_at is not null as verified
       from metrics.move_windows order by move_windows.upper, retention`,
    )
  })
  return value.map(({ retention, lower, upper, copied, verified }) => ({
    retention,
    lowerMicros: lower,
    upperMicros: upper,
    isCopied: copied,
    isVerified: verified,
  }))
}

/** How many windows a move has noted, and how far they are. */
export async function countWindows(
  database: Database,
): Promise<{ total: number; copied: number; verified: number }> {
  return database.read({ role: 'nomaly_system', freshness: 'latest' }, async (connection) => {
    const [row] = await connection.query<{ total: number; copied: number; verified: number }>(
      `select count(*)::int4 as total, count(copied_at)::int4 as copied, count(verified_at)::int4 as verified from metrics.move_windows`,
    )
    return row!
  })
}

/** Cuts a range into stretches of whole days that hold few enough points. */
function cut({ lowerMicros, upperMicros, points }: StoredRange): StoredRange[] {
  const days = Math.max(1, Math.round((upperMicros - lowerMicros) / DAY_MICROS))
  const width = Math.max(1, Math.floor(days / Math.ceil(points / POINTS_AT_ONCE))) * DAY_MICROS
  const pieces: StoredRange[] = []
  for (let lower = lowerMicros; lower < upperMicros; lower += width)
    pieces.push({ lowerMicros: lower, upperMicros: Math.min(upperMicros, lower + width), points })
  return pieces
}

/** Copies a window over whatever of it is there; answers how many points it has. */
export async function copyWindow(
  database: Database,
  source: MoveSide,
  target: MoveSide,
  window: MoveWindow,
  nowMs: number,
  signal: AbortSignal,
): Promise<number> {
  const { retention } = window
  const options = { role: 'nomaly_system', signal, timeoutMs: WINDOW_TIMEOUT_MS } as const
  const { value: days } = await database.transaction(options, async (connection) => {
    await source.begin(connection)
    const rows = await connection.query<{ ms: number }>(
      `select distinct extract(epoch from ${utcDay('time')})::float8 * 1000 as ms from ${source.relations.points(retention)}
       where ${isWithin('time', window.lowerMicros, window.upperMicros)}`,
    )
    return rows.map(({ ms }) => ms)
  })
  await target.ensure(retention, days, nowMs, signal)
  const { value } = await database.transaction(options, async (connection) => {
    await source.begin(connection)
    await target.begin(connection)
    await connection.query(
      `delete from ${target.relations.points(retention)} where ${isWithin('time', window.lowerMicros, window.upperMicros)}`,
    )
    const copied = await connection.client.query(
      `insert into ${target.relations.points(retention)} (time, series_id, value)
       select time, series_id, value from ${source.relations.points(retention)} where ${isWithin('time', window.lowerMicros, window.upperMicros)}
       order by series_id, time`,
    )
    await connection.query(
      `update metrics.move_windows set copied_at = now(), points = $1, verified_at = null
       where retention = $2 and lower = ${instantLiteral(window.lowerMicros)}`,
      [copied.rowCount, retention],
    )
    return copied.rowCount!
  })
  return value
}

/**
 * Compares both sides of a window in one snapshot, but for the days of series whose copy is behind, as the journal of that snapshot has
 * it; notes it where they are the same.
 */
export async function verifyWindow(
  database: Database,
  source: MoveSide,
  target: MoveSide,
  window: MoveWindow,
  signal: AbortSignal,
): Promise<boolean> {
  const read = {
    role: 'nomaly_system',
    freshness: 'latest',
    signal,
    timeoutMs: WINDOW_TIMEOUT_MS,
  } as const
  const [ours, theirs] = await database.read(read, async (connection) => {
    await source.begin(connection)
    await target.begin(connection)
    return [await checksum(connection, source, window), await checksum(connection, target, window)] as const
  })
  if (ours.points !== theirs.points || ours.sum !== theirs.sum) return false
  await database.transaction({ role: 'nomaly_system', signal }, (connection) =>
    connection.query(
      `update metrics.move_windows set verified_at = now(), points = $1, checksum = $2
       where retention = $3 and lower = ${instantLiteral(window.lowerMicros)}`,
      [theirs.points, theirs.sum, window.retention],
    ),
  )
  return true
}

async function checksum(
  connection: Connection,
  { relations }: MoveSide,
  window: MoveWindow,
): Promise<Checksum> {
  const [row] = await connection.query<{ points: number; sum: string }>(
    `select count(*)::float8 as points, coalesce(sum(hash_record_extended(row(series_id, time, value), 0)::numeric), 0)::text as sum
     from ${relations.points(window.retention)} p where ${isWithin('time', window.lowerMicros, window.upperMicros)}
       and not exists (select from metrics.move_journal j where j.retention = $1 and j.series_id = p.series_id
         and j.day in (${utcDay('p.time')}, '-infinity'))`,
    [window.retention],
  )
  return row!
}
