import type { MaintenanceReport, RollUpReport } from './metrics-engine.ts'
import { METRICS_RELATIONS } from './metrics-relations.ts'
import { PartitionedRollUps } from './partitioned-roll-ups.ts'
import { Partitions } from './partitions.ts'
import { insertPoints, overwritePoints } from './point-writer.ts'
import { type EngineOptions, RelationalMetrics } from './relational-metrics.ts'

/** Metrics in plain PostgreSQL: range partitions for each retention class, one index, roll-up tables, no extension. */
export class PartitionedEngine extends RelationalMetrics {
  readonly #partitions: Partitions
  readonly #rollUps: PartitionedRollUps

  constructor(options: EngineOptions) {
    const relations = METRICS_RELATIONS
    const partitions = new Partitions(options.database)
    super(options, relations, {
      map: partitions.map,
      ensure: (...wanted) => partitions.ensure(...wanted),
      forgetAll: () => partitions.forgetAll(),
      insert: (connection, points) => insertPoints(connection, relations, points),
      overwrite: (connection, points) => overwritePoints(connection, relations, points),
    })
    this.#partitions = partitions
    this.#rollUps = new PartitionedRollUps(options.database, relations)
  }

  maintain(now: Date): Promise<MaintenanceReport> {
    return this.#partitions.maintain(now.getTime())
  }

  rollUp(now: Date, signal?: AbortSignal): Promise<RollUpReport> {
    return this.#rollUps.rollUp(now.getTime(), signal)
  }
}
