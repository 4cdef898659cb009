import type { Connection } from '../database/connection.ts'
import type { Database } from '../database/database.ts'
import { sqlState } from '../database/database-errors.ts'
import { instantLiteral } from './instant-literal.ts'
import type { RetentionClass } from './metrics-engine.ts'
import { HOUR_MICROS } from './roll-up-ledger.ts'
import { lockRollUps } from './roll-up-marks.ts'
import { CHUNK_HOURS, usualHours } from './timescale-chunks.ts'
import { TIMESCALE_RELATIONS } from './timescale-relations.ts'

/** How long after its end a chunk is compressed: what comes later than that costs more to write. */
export const COMPRESS_AFTER_MICROS = 2 * HOUR_MICROS

/** Ten million points are a gigabyte before compression, with their key, and some ten seconds of compressing. */
export const POINTS_PER_CHUNK = 10_000_000

/** How narrow chunks may get, by class, in hours, so that there are at most some thousands of them; they are never wider than a day. */
const NARROWEST_HOURS: Readonly<Record<RetentionClass, number>> = {
  forever: CHUNK_HOURS.quarter,
  year: CHUNK_HOURS.quarter,
  month: CHUNK_HOURS.quarter,
  week: CHUNK_HOURS.narrowest,
}

/** Some five thousand points: what is smaller than that becomes larger by compression, each series of it having a row of its own. */
export const SMALLEST_BYTES = 262_144

/** Longest time that one chunk may take. */
const CHUNK_TIMEOUT_MS = 3_600_000

/** How long new readers may be held up; less than PostgreSQL waits before it looks for deadlocks, so that none of them is its victim. */
const GATE_TIMEOUT_MS = 500

/** Bits of a chunk's status: some of it is compressed; some of it came after that, and is not (chunk.h of TimescaleDB). */
const COMPRESSED = 1
const PARTIAL = 2 | 8

const BUSY = new Set(['55P03', '40P01'])

/**
 * Compresses the chunks of a class that ended some hours ago and are worth it, and those again that points came late for; answers
 * how many. With `wait` it does not leave them for the next time where roll-ups are being computed.
 */
export async function compressDue(
  database: Database,
  retention: RetentionClass,
  nowMs: number,
  smallestBytes: number = SMALLEST_BYTES,
  mode: 'try' | 'wait' = 'try',
): Promise<number> {
  const due = await database.read({ role: 'nomaly_system', freshness: 'latest' }, (connection) =>
    listDue(connection, retention, nowMs * 1000 - COMPRESS_AFTER_MICROS, smallestBytes),
  )
  let compressed = 0
  for (const name of due) if (await compressOne(database, retention, name, mode)) compressed++
  return compressed
}

/** Compresses one chunk, or leaves it for the next time where it is in use. */
async function compressOne(
  database: Database,
  retention: RetentionClass,
  name: string,
  mode: 'try' | 'wait',
): Promise<boolean> {
  const options = { role: 'nomaly_system', timeoutMs: CHUNK_TIMEOUT_MS } as const
  try {
    const { value } = await database.transaction(options, async (connection) => {
      // Refreshing reads chunks too.
      if (!(await lockRollUps(connection, retention, mode))) return false
      await connection.query("set local lock_timeout = '1s'")
      // Writers wait, so that none of them misses what changes its place.
      await connection.query('set local timescaledb.enable_exclusive_locking_recompression = on')
      await connection.query('select public.compress_chunk($1::regclass)', [name])
      // What was compressed again is invisible to older snapshots, and who is just planning a read of the chunk may still take it for
      // what it was: all who read are let finish, and nobody begins before this is committed.
      await connection.query(
        `set local lock_timeout = ${GATE_TIMEOUT_MS}; lock table ${TIMESCALE_RELATIONS.readersGate} in access exclusive mode`,
      )
      // Tenants who read in SQL have no snapshot of the store's making: they learn by this that theirs is too old.
      await connection.query(
        `select setval('metrics.timescale_compressed', pg_current_xact_id()::text::bigint)`,
      )
      return true
    })
    return value
  } catch (error) {
    if (BUSY.has(sqlState(error) ?? '')) return false
    throw error
  }
}

async function listDue(
  connection: Connection,
  retention: RetentionClass,
  endedBeforeMicros: number,
  smallestBytes: number,
): Promise<string[]> {
  const rows = await connection.query<{ name: string }>(
    `select name from (
       select range_start, name, _timescaledb_functions.chunk_status(name::regclass) as status
       from (select range_start, range_end, format('%I.%I', chunk_schema, chunk_name) as name
         from timescaledb_information.chunks where hypertable_schema || '.' || hypertable_name = $1 offset 0) c
       where range_end <= ${instantLiteral(endedBeforeMicros)}) s
     where status & ${PARTIAL} <> 0 or status & ${COMPRESSED} = 0 and pg_relation_size(name::regclass) >= ${smallestBytes}
     order by range_start`,
    [TIMESCALE_RELATIONS.points(retention)],
  )
  return rows.map(({ name }) => name)
}

/** Makes chunks to come as wide as the last ones would have had to be; answers the new width in hours, `undefined` where it stays. */
export async function adaptWidth(
  database: Database,
  retention: RetentionClass,
  nowMs: number,
): Promise<number | undefined> {
  const { value } = await database.transaction({ role: 'nomaly_system' }, async (connection) => {
    const [measured] = await connection.query<{ points: number | null; hours: number }>(
      `select sum(public.approximate_row_count(name::regclass))::float8 as points, sum(hours)::float8 as hours from (
         select format('%I.%I', chunk_schema, chunk_name) as name, extract(epoch from range_end - range_start) / 3600 as hours
         from timescaledb_information.chunks where hypertable_schema || '.' || hypertable_name = $1
           and range_end <= ${instantLiteral(nowMs * 1000)} and range_start > ${instantLiteral(nowMs * 1000)} - interval '8 days'
         order by range_end desc limit 8) c`,
      [TIMESCALE_RELATIONS.points(retention)],
    )
    if (measured === undefined || measured.points === null) return undefined
    const hours = fittingHours(retention, measured.points / measured.hours)
    if (hours === (await usualHours(connection, retention))) return undefined
    await connection.query(
      `select public.set_chunk_time_interval('${TIMESCALE_RELATIONS.points(retention)}', interval '${hours} hours')`,
    )
    return hours
  })
  return value
}

/** The widest chunks that hold few enough points at a rate, in hours, within the bounds of the class. */
export function fittingHours(retention: RetentionClass, pointsPerHour: number): number {
  const allowed = [CHUNK_HOURS.day, CHUNK_HOURS.quarter, CHUNK_HOURS.narrowest].filter(
    (hours) => hours >= NARROWEST_HOURS[retention],
  )
  return allowed.find((hours) => hours * pointsPerHour <= POINTS_PER_CHUNK) ?? allowed.at(-1)!
}
