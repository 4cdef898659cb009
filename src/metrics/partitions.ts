import type { Database } from '../database/database.ts'
import type { MaintenanceReport, RetentionClass } from './metrics-engine.ts'
import { PartitionMap } from './partition-map.ts'
import { DAY_MS, RETENTION_CLASSES, RETENTION_DAYS, retentionCutoffMs } from './retention.ts'

/** How many partitions one transaction makes at most: each holds locks, and the server's lock table has an end. */
const MOST_AT_ONCE = 32

/** How far ahead partitions are made, by class, in days: two months, or three days. */
const DAYS_AHEAD: Readonly<Record<RetentionClass, number>> = {
  forever: 62,
  year: 62,
  month: 3,
  week: 3,
}

/** Makes range partitions before they are written to, and drops those that retention has passed. */
export class Partitions {
  readonly map = new PartitionMap()
  readonly #database: Database

  constructor(database: Database) {
    this.#database = database
  }

  /** Makes the partitions of these days (epoch ms) where they are missing; answers how many it made. */
  async ensure(
    retention: RetentionClass,
    days: Iterable<number>,
    nowMs: number,
    signal?: AbortSignal,
  ): Promise<number> {
    const instants = [...new Set(Array.from(days, (day) => narrowestStart(retention, day)))]
    let created = 0
    for (let start = 0; start < instants.length; start += MOST_AT_ONCE) {
      const part = instants.slice(start, start + MOST_AT_ONCE).map((ms) => new Date(ms).toISOString())
      const { value: rows } = await this.#database.transaction(
        { role: 'nomaly_system', signal },
        (connection) =>
          connection.query<{ lower_ms: number; upper_ms: number; created: boolean }>(
            'select * from metrics.ensure_partitions($1, $2::timestamptz[], $3)',
            [retention, part, new Date(nowMs).toISOString()],
          ),
      )
      for (const row of rows) {
        this.map.add(retention, {
          lowerMicros: row.lower_ms * 1000,
          upperMicros: row.upper_ms * 1000,
        })
        if (row.created) created++
      }
    }
    return created
  }

  /** Makes partitions ahead of `nowMs`, drops expired ones, and forgets newest points that went with them. */
  async maintain(nowMs: number): Promise<MaintenanceReport> {
    let partitionsCreated = 0
    let partitionsDropped = 0
    for (const retention of RETENTION_CLASSES) {
      const ahead = Array.from({ length: DAYS_AHEAD[retention] + 1 }, (_, day) => nowMs + day * DAY_MS)
      partitionsCreated += await this.ensure(retention, ahead, nowMs)
      if (RETENTION_DAYS[retention] !== Number.POSITIVE_INFINITY)
        partitionsDropped += await this.#drop(retention, retentionCutoffMs(retention, nowMs))
    }
    return { partitionsCreated, partitionsDropped }
  }

  /** Forgets which partitions there are: another process has dropped some. */
  forgetAll(): void {
    for (const retention of RETENTION_CLASSES) this.map.forget(retention, Number.POSITIVE_INFINITY)
  }

  async #drop(retention: RetentionClass, beforeMs: number): Promise<number> {
    const before = new Date(beforeMs).toISOString()
    const { value: dropped } = await this.#database.transaction(
      { role: 'nomaly_system' },
      async (connection) => {
        const rows = await connection.query<{ dropped: number }>(
          'select metrics.drop_partitions($1, $2) as dropped',
          [retention, before],
        )
        if (rows[0]!.dropped > 0)
          // The time bound keeps out what an append writes at this moment, into a partition newer than this snapshot.
          await connection.query(
            `update metrics.latest_points l set time = '-infinity', value = 'NaN'
           from metrics.series s
           where s.id = l.series_id and s.retention = $1 and l.time > '-infinity'
             and l.time < $2 and not exists (
               select from metrics.partitions p where p.retention = $1 and p.lower <= l.time and p.upper > l.time)`,
            [retention, before],
          )
        return rows[0]!.dropped
      },
    )
    if (dropped > 0) this.map.forget(retention, beforeMs * 1000)
    return dropped
  }
}

/** The start of the narrowest partition a day may lie in: asking once for each of those is enough. */
function narrowestStart(retention: RetentionClass, dayMs: number): number {
  const day = new Date(dayMs)
  const isDaily = retention === 'month' || retention === 'week'
  return Date.UTC(day.getUTCFullYear(), day.getUTCMonth(), isDaily ? day.getUTCDate() : 1)
}
