import type { Connection } from '../database/connection.ts'
import type { Database } from '../database/database.ts'
import { sqlState } from '../database/database-errors.ts'
import type { MetricsEngine, RetentionClass, SeriesId } from './metrics-engine.ts'
import { BYTES_PER_POINT, type MoveSide, type StoredRange } from './move-side.ts'
import { RETENTION_CLASSES } from './retention.ts'
import { lockRollUps } from './roll-up-marks.ts'
import { TimescaleChunks } from './timescale-chunks.ts'
import { compressDue } from './timescale-compression.ts'
import { TIMESCALE_RELATIONS } from './timescale-relations.ts'
import { deleteRolledUp } from './timescale-retention.ts'

/** After the last instant that a point can have, by more than the widest chunk. */
const AFTER_ALL = `timestamptz '2110-01-01Z'`

/** Less than PostgreSQL waits before it looks for deadlocks, so that no reader is the victim of one. */
const LOCK_TIMEOUT_MS = 500

const BUSY = new Set(['55P03', '40P01'])

/** Hypertables as the beginning or the end of a move. */
export class TimescaleMoveSide implements MoveSide {
  readonly engine: MetricsEngine
  readonly relations = TIMESCALE_RELATIONS
  readonly #database: Database
  readonly #chunks: TimescaleChunks

  constructor(database: Database, engine: MetricsEngine) {
    this.engine = engine
    this.#database = database
    this.#chunks = new TimescaleChunks(database)
  }

  async exists(connection: Connection): Promise<boolean> {
    const [row] = await connection.query<{ exists: boolean }>(
      `select to_regclass('${this.relations.readersGate}') is not null as exists`,
    )
    return row!.exists
  }

  async ranges(connection: Connection, retention: RetentionClass): Promise<StoredRange[]> {
    const rows = await connection.query<{ lower: number; upper: number; points: number }>(
      `select extract(epoch from range_start)::float8 * 1000000 as lower, extract(epoch from range_end)::float8 * 1000000 as upper,
         greatest(public.approximate_row_count(chunk)::float8, pg_relation_size(chunk)::float8 / ${BYTES_PER_POINT}) as points
       from timescaledb_information.chunks cross join lateral (select format('%I.%I', chunk_schema, chunk_name)::regclass as chunk) c
       where hypertable_schema || '.' || hypertable_name = $1 order by range_start`,
      [this.relations.points(retention)],
    )
    return rows.map(({ lower, upper, points }) => ({ lowerMicros: lower, upperMicros: upper, points }))
  }

  async ensure(
    retention: RetentionClass,
    days: Iterable<number>,
    nowMs: number,
    signal?: AbortSignal,
  ): Promise<void> {
    await this.#chunks.ensure(retention, days, nowMs, signal)
  }

  async begin(connection: Connection): Promise<void> {
    await connection.query(`lock table ${this.relations.readersGate} in access share mode`)
    await connection.query('set local timescaledb.max_tuples_decompressed_per_dml_transaction = 0')
  }

  async settle(retention: RetentionClass, nowMs: number): Promise<void> {
    await compressDue(this.#database, retention, nowMs)
  }

  deleteRolledUp(
    connection: Connection,
    retention: RetentionClass,
    series: readonly SeriesId[],
  ): Promise<void> {
    return deleteRolledUp(connection, retention, series)
  }

  async open(connection: Connection, isOpen: boolean): Promise<void> {
    // The system owns these, and may take its own rights away and give them back.
    const tables = RETENTION_CLASSES.flatMap((retention) => [
      this.relations.points(retention),
      this.relations.hourly(retention),
      this.relations.daily(retention),
    ]).join(', ')
    await connection.query(
      isOpen ? `grant all on ${tables} to nomaly_system` : `revoke all on ${tables} from nomaly_system`,
    )
  }

  async clear(then: 'open' | 'closed'): Promise<boolean> {
    const { relations } = this
    try {
      // A transaction for each class: every chunk that is dropped holds locks until the end.
      for (const retention of RETENTION_CLASSES)
        await this.#database.transaction({ role: 'nomaly_system' }, async (connection) => {
          // To be emptied they have to be open, to nobody else as long as this is not committed.
          await this.open(connection, true)
          await connection.query(`set local lock_timeout = ${LOCK_TIMEOUT_MS}`)
          await lockRollUps(connection, retention, 'wait')
          for (const relation of [relations.daily, relations.hourly, relations.points])
            await connection.query(
              `select public.drop_chunks('${relation(retention)}', older_than => ${AFTER_ALL})`,
            )
          await connection.query(`delete from ${relations.late(retention)}`)
          await connection.query(
            `update ${relations.state} set closing_until = '-infinity', closed_until = '-infinity' where retention = $1`,
            [retention],
          )
          if (then === 'closed') await this.open(connection, false)
        })
      this.#chunks.forgetAll()
      return true
    } catch (error) {
      if (BUSY.has(sqlState(error) ?? '')) return false
      throw error
    }
  }
}
