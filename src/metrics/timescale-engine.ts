import type { Connection } from '../database/connection.ts'
import type { Database } from '../database/database.ts'
import type { MaintenanceReport, RollUpReport } from './metrics-engine.ts'
import { type EngineOptions, RelationalMetrics } from './relational-metrics.ts'
import { DAY_MS, RETENTION_CLASSES, RETENTION_DAYS, retentionCutoffMs } from './retention.ts'
import { lockRollUps } from './roll-up-marks.ts'
import type { RollUpRemoval } from './source-removal.ts'
import { timescaleMergeStorage } from './timescale-backfill.ts'
import { TimescaleChunks } from './timescale-chunks.ts'
import { adaptWidth, compressDue } from './timescale-compression.ts'
import { runFailedJobs } from './timescale-jobs.ts'
import { insertIntoChunks, overwriteInChunks } from './timescale-point-writer.ts'
import { TIMESCALE_RELATIONS } from './timescale-relations.ts'
import { deleteRolledUp, dropExpired } from './timescale-retention.ts'
import { TimescaleRollUps } from './timescale-roll-ups.ts'

/** Around now there is room for points that come in SQL, in days: who inserts there makes no chunks. */
const ROOM_FOR_SQL = { before: 2, after: 2 } as const

/** Metrics in TimescaleDB: a hypertable for each retention class, one index, compressed by series, continuous aggregates. */
export class TimescaleEngine extends RelationalMetrics {
  readonly #database: Database
  readonly #chunks: TimescaleChunks
  readonly #rollUps: TimescaleRollUps
  readonly #log: (message: string) => void

  constructor(options: EngineOptions) {
    const chunks = new TimescaleChunks(options.database)
    super(options, TIMESCALE_RELATIONS, {
      ...timescaleMergeStorage(options.database, chunks, options.clock),
      insert: (connection, points) => insertIntoChunks(connection, chunks, points),
      overwrite: (connection, points) => overwriteInChunks(connection, chunks, points),
    })
    this.#database = options.database
    this.#chunks = chunks
    this.#rollUps = new TimescaleRollUps(options.database)
    this.#log = options.log ?? (() => {})
  }

  async maintain(now: Date): Promise<MaintenanceReport> {
    const nowMs = now.getTime()
    let partitionsDropped = 0
    let compressed = 0
    for (const retention of RETENTION_CLASSES) {
      if (RETENTION_DAYS[retention] !== Number.POSITIVE_INFINITY)
        partitionsDropped += await dropExpired(this.#database, retention, retentionCutoffMs(retention, nowMs))
      compressed += await compressDue(this.#database, retention, nowMs)
      await adaptWidth(this.#database, retention, nowMs)
    }
    if (partitionsDropped > 0) this.#chunks.forgetAll()
    const partitionsCreated = (await hasLogins(this.#database)) ? await this.#makeRoomForSql(nowMs) : 0
    const problems = await runFailedJobs(this.#database)
    for (const problem of problems) this.#log(problem)
    return { partitionsCreated, partitionsDropped, compressed, problems }
  }

  rollUp(now: Date, signal?: AbortSignal): Promise<RollUpReport> {
    return this.#rollUps.rollUp(now.getTime(), signal)
  }

  #makeRoomForSql(nowMs: number): Promise<number> {
    const { before, after } = ROOM_FOR_SQL
    const today = Math.floor(nowMs / DAY_MS)
    const days = Array.from({ length: before + 1 + after }, (_, i) => (today - before + i) * DAY_MS)
    return this.#chunks.ensure('forever', days, nowMs)
  }

  protected override async beginRemoval(connection: Connection): Promise<RollUpRemoval> {
    // First: what is being compressed changes its place, and would not be found.
    for (const retention of RETENTION_CLASSES) await lockRollUps(connection, retention, 'wait')
    await connection.query('set local timescaledb.max_tuples_decompressed_per_dml_transaction = 0')
    return deleteRolledUp
  }
}

/** Whether any tenant may insert in SQL. */
async function hasLogins(database: Database): Promise<boolean> {
  const rows = await database.read({ role: 'nomaly_system', freshness: 'latest' }, (connection) =>
    connection.query('select from metrics.logins limit 1'),
  )
  return rows.length > 0
}
