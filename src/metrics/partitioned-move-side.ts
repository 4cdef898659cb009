import type { Connection } from '../database/connection.ts'
import type { Database } from '../database/database.ts'
import { int4Array } from './array-encoder.ts'
import type { MetricsEngine, RetentionClass, SeriesId } from './metrics-engine.ts'
import { METRICS_RELATIONS } from './metrics-relations.ts'
import { BYTES_PER_POINT, type MoveSide, type StoredRange } from './move-side.ts'
import { Partitions } from './partitions.ts'
import { RETENTION_CLASSES } from './retention.ts'

/** Plain partitions as the beginning or the end of a move. */
export class PartitionedMoveSide implements MoveSide {
  readonly engine: MetricsEngine
  readonly relations = METRICS_RELATIONS
  readonly #database: Database
  readonly #partitions: Partitions

  constructor(database: Database, engine: MetricsEngine) {
    this.engine = engine
    this.#database = database
    this.#partitions = new Partitions(database)
  }

  async exists(): Promise<boolean> {
    return true
  }

  async ranges(connection: Connection, retention: RetentionClass): Promise<StoredRange[]> {
    const rows = await connection.query<{ lower: number; upper: number; points: number }>(
      `select extract(epoch from lower)::float8 * 1000000 as lower, extract(epoch from upper)::float8 * 1000000 as upper,
         pg_relation_size(format('metrics.%I', table_name)::regclass)::float8 / ${BYTES_PER_POINT} as points
       from metrics.partitions where retention = $1 order by 1`,
      [retention],
    )
    return rows.map(({ lower, upper, points }) => ({ lowerMicros: lower, upperMicros: upper, points }))
  }

  async ensure(
    retention: RetentionClass,
    days: Iterable<number>,
    nowMs: number,
    signal?: AbortSignal,
  ): Promise<void> {
    await this.#partitions.ensure(retention, days, nowMs, signal)
  }

  async begin(): Promise<void> {}

  async settle(): Promise<void> {}

  async deleteRolledUp(
    connection: Connection,
    retention: RetentionClass,
    series: readonly SeriesId[],
  ): Promise<void> {
    const ids = int4Array(Int32Array.from(series))
    for (const table of [this.relations.hourly(retention), this.relations.daily(retention)])
      await connection.query(`delete from ${table} where series_id = any($1::int4[])`, [ids])
  }

  async open(connection: Connection, isOpen: boolean): Promise<void> {
    await connection.query('select metrics.open_partitioned($1)', [isOpen])
  }

  async clear(then: 'open' | 'closed'): Promise<boolean> {
    let left = 0
    // A transaction for each class: every table that is dropped holds locks until the end.
    for (const retention of RETENTION_CLASSES) {
      const { value } = await this.#database.transaction({ role: 'nomaly_system' }, async (connection) => {
        // To be emptied they have to be open, to nobody else as long as this is not committed.
        await this.open(connection, true)
        await connection.query("select metrics.drop_partitions($1, 'infinity')", [retention])
        await connection.query(`delete from ${this.relations.late(retention)}`)
        await connection.query(
          `update ${this.relations.state} set closing_until = '-infinity', closed_until = '-infinity' where retention = $1`,
          [retention],
        )
        const [row] = await connection.query<{ count: number }>(
          'select count(*)::int4 as count from metrics.partitions where retention = $1',
          [retention],
        )
        if (then === 'closed') await this.open(connection, false)
        return row!.count
      })
      left += value
    }
    return left === 0
  }
}
