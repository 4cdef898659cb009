import type { Connection } from '../database/connection.ts'
import type { Database } from '../database/database.ts'
import { sqlState } from '../database/database-errors.ts'
import { int4Array } from './array-encoder.ts'
import { instantLiteral } from './instant-literal.ts'
import type { RetentionClass, SeriesId } from './metrics-engine.ts'
import { DAY_MS } from './retention.ts'
import { lockRollUps } from './roll-up-marks.ts'
import { type Chunk, listChunks } from './timescale-chunks.ts'
import { TIMESCALE_RELATIONS } from './timescale-relations.ts'

const LOCK_NOT_AVAILABLE = '55P03'

/**
 * Drops the chunks of a class that end before the day of `beforeMs`, with the roll-ups and marks of the same time, and forgets newest points
 * that went with them; answers how many chunks. Where one is in use for more than a second, which others then have to
 * wait for too, it and those after it are left for the next time.
 */
export async function dropExpired(
  database: Database,
  retention: RetentionClass,
  beforeMs: number,
): Promise<number> {
  // Whole days: a roll-up of a day is never left behind with only a part of its points.
  const untilMicros = Math.floor(beforeMs / DAY_MS) * DAY_MS * 1000
  try {
    const { value } = await database.transaction({ role: 'nomaly_system' }, async (connection) => {
      const doomed = (await listChunks(connection, retention)).filter((one) => one.upperMicros <= untilMicros)
      // Roll-ups of what is dropped must not be on their way.
      if (doomed.length === 0 || !(await lockRollUps(connection, retention, 'try'))) return 0
      await connection.query("set local lock_timeout = '1s'")
      const dropped = await dropInOrder(connection, retention, doomed)
      const last = dropped.at(-1)
      if (last === undefined) return 0
      await removeBefore(connection, retention, last.upperMicros)
      await forgetLatest(connection, retention, last.upperMicros)
      return dropped.length
    })
    return value
  } catch (error) {
    // Of the roll-ups: nothing has happened.
    if (sqlState(error) === LOCK_NOT_AVAILABLE) return 0
    throw error
  }
}

/** Deletes the roll-ups of series that are removed, as `nomaly_system`. */
export async function deleteRolledUp(
  connection: Connection,
  retention: RetentionClass,
  series: readonly SeriesId[],
): Promise<void> {
  for (const store of await rollUpStores(connection, retention))
    await connection.query(`delete from ${store} where series_id = any($1::int4[])`, [
      int4Array(Int32Array.from(series)),
    ])
}

async function dropInOrder(
  connection: Connection,
  retention: RetentionClass,
  doomed: readonly Chunk[],
): Promise<Chunk[]> {
  const dropped: Chunk[] = []
  for (const chunk of doomed) {
    await connection.query('savepoint before_drop')
    try {
      await connection.query(
        `select public.drop_chunks('${TIMESCALE_RELATIONS.points(retention)}', older_than => ${instantLiteral(chunk.upperMicros)})`,
      )
    } catch (error) {
      if (sqlState(error) !== LOCK_NOT_AVAILABLE) throw error
      await connection.query('rollback to savepoint before_drop')
      return dropped
    }
    dropped.push(chunk)
  }
  return dropped
}

async function removeBefore(
  connection: Connection,
  retention: RetentionClass,
  untilMicros: number,
): Promise<void> {
  const until = instantLiteral(untilMicros)
  for (const view of [TIMESCALE_RELATIONS.hourly(retention), TIMESCALE_RELATIONS.daily(retention)])
    await connection.query(`select public.drop_chunks('${view}', older_than => ${until})`)
  for (const store of await rollUpStores(connection, retention))
    await connection.query(`delete from ${store} where bucket < ${until}`)
  await connection.query(`delete from ${TIMESCALE_RELATIONS.late(retention)} where day < ${until}`)
}

async function forgetLatest(
  connection: Connection,
  retention: RetentionClass,
  untilMicros: number,
): Promise<void> {
  // What an append writes at this moment, into a chunk that it has made again, is not before that time or not yet visible.
  await connection.query(
    `update metrics.latest_points l set time = '-infinity', value = 'NaN'
     from metrics.series s
     where s.id = l.series_id and s.retention = $1 and l.time > '-infinity' and l.time < ${instantLiteral(untilMicros)}`,
    [retention],
  )
}

/** Where the rows of the roll-ups really are: continuous aggregates are views that nothing can be deleted from. */
async function rollUpStores(connection: Connection, retention: RetentionClass): Promise<string[]> {
  const rows = await connection.query<{ name: string }>(
    `select format('%I.%I', materialization_hypertable_schema, materialization_hypertable_name) as name
     from timescaledb_information.continuous_aggregates
     where view_schema || '.' || view_name = any($1)`,
    [[TIMESCALE_RELATIONS.hourly(retention), TIMESCALE_RELATIONS.daily(retention)]],
  )
  return rows.map(({ name }) => name)
}
