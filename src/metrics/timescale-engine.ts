import type { TenantScope } from '../access/tenant-scope.ts'
import type { Connection } from '../database/connection.ts'
import type { Database } from '../database/database.ts'
import type { Committed } from '../database/position.ts'
import { MetricReader } from './metric-reader.ts'
import { MetricWriter } from './metric-writer.ts'
import type {
  AppendReport,
  ChartPoints,
  CorrectionReport,
  MaintenanceReport,
  MetricBucket,
  MetricPoint,
  MetricQuery,
  MetricsEngine,
  PointBatch,
  PointColumns,
  QueryPlan,
  RollUpReport,
  Series,
  SeriesFilter,
  SeriesId,
  SeriesSource,
  SourceSummary,
  TimeRange,
} from './metrics-engine.ts'
import { RETENTION_CLASSES, RETENTION_DAYS, retentionCutoffMs } from './retention.ts'
import { lockRollUps } from './roll-up-marks.ts'
import { awaitWriters, isSourceId, lockSource } from './source-lock.ts'
import { removeSource } from './source-removal.ts'
import { TimescaleChunks } from './timescale-chunks.ts'
import { adaptWidth, compressDue } from './timescale-compression.ts'
import { runFailedJobs } from './timescale-jobs.ts'
import { insertIntoChunks, overwriteInChunks } from './timescale-point-writer.ts'
import { TIMESCALE_RELATIONS } from './timescale-relations.ts'
import { deleteRolledUp, dropExpired } from './timescale-retention.ts'
import { TimescaleRollUps } from './timescale-roll-ups.ts'

export interface TimescaleEngineOptions {
  readonly database: Database
  /** The time that retention counts from, in epoch milliseconds. */
  readonly clock: () => number
  /** Asked in the transaction of every write, as the tenant, and throws where the source is gone; left out where nobody can know. */
  readonly requireSource?: (connection: Connection, source: SeriesSource) => Promise<void>
  /** Series that one dataset may have; without it there is no limit. */
  readonly maxSeriesPerDataset?: number
  /** Told what of the database's own jobs has failed; left out where nobody listens. */
  readonly log?: (message: string) => void
}

const REMOVAL_TIMEOUT_MS = 600_000

/** Metrics in TimescaleDB: a hypertable for each retention class, one index, compressed by series, continuous aggregates. */
export class TimescaleEngine implements MetricsEngine {
  readonly name = 'timescale'
  readonly #database: Database
  readonly #reader: MetricReader
  readonly #writer: MetricWriter
  readonly #chunks: TimescaleChunks
  readonly #rollUps: TimescaleRollUps
  readonly #log: (message: string) => void

  constructor({ database, clock, requireSource, maxSeriesPerDataset, log }: TimescaleEngineOptions) {
    const relations = TIMESCALE_RELATIONS
    const chunks = new TimescaleChunks(database)
    this.#database = database
    this.#chunks = chunks
    this.#rollUps = new TimescaleRollUps(database)
    this.#reader = new MetricReader(database, relations)
    this.#writer = new MetricWriter({
      database,
      relations,
      clock,
      requireSource,
      maxSeriesPerDataset,
      storage: {
        map: chunks.map,
        ensure: (...wanted) => chunks.ensure(...wanted),
        forgetAll: () => chunks.forgetAll(),
        insert: (connection, points) => insertIntoChunks(connection, chunks, points),
        overwrite: (connection, points) => overwriteInChunks(connection, chunks, points),
      },
    })
    this.#log = log ?? (() => {})
  }

  append(scope: TenantScope, batch: PointBatch, signal?: AbortSignal): Promise<Committed<AppendReport>> {
    return this.#writer.append(scope, batch, signal)
  }

  correct(scope: TenantScope, batch: PointBatch, signal?: AbortSignal): Promise<Committed<CorrectionReport>> {
    return this.#writer.correct(scope, batch, signal)
  }

  listSeries(scope: TenantScope, filter: SeriesFilter): Promise<Series[]> {
    return this.#reader.listSeries(scope, filter)
  }

  query(scope: TenantScope, query: MetricQuery): AsyncGenerator<MetricBucket, void, void> {
    return this.#reader.query(scope, query)
  }

  explain(scope: TenantScope, query: MetricQuery): Promise<QueryPlan> {
    return this.#reader.explain(this.name, scope, query)
  }

  chart(
    scope: TenantScope,
    series: SeriesId,
    range: TimeRange,
    maxPoints: number,
    signal?: AbortSignal,
  ): Promise<ChartPoints> {
    return this.#reader.chart(scope, series, range, maxPoints, signal)
  }

  scan(
    scope: TenantScope,
    series: readonly SeriesId[],
    range: TimeRange,
    signal?: AbortSignal,
  ): AsyncGenerator<PointColumns, void, void> {
    return this.#reader.scan(scope, series, range, signal)
  }

  tail(
    scope: TenantScope,
    series: SeriesId,
    range: TimeRange,
    limit: number,
    signal?: AbortSignal,
  ): Promise<PointColumns> {
    return this.#reader.tail(scope, series, range, limit, signal)
  }

  summaries(scope: TenantScope, sourceIds: readonly string[]): Promise<Map<string, SourceSummary>> {
    return this.#reader.summaries(scope, sourceIds)
  }

  async settled(sourceId: string, signal?: AbortSignal): Promise<void> {
    await awaitWriters(this.#database, sourceId, signal)
  }

  latest(scope: TenantScope, series: readonly SeriesId[]): Promise<MetricPoint[]> {
    return this.#reader.latest(scope, series)
  }

  async dropSource(scope: TenantScope, sourceId: string): Promise<number> {
    if (!isSourceId(sourceId)) return 0
    const options = { role: 'nomaly_app', scope, timeoutMs: REMOVAL_TIMEOUT_MS } as const
    const { value } = await this.#database.transaction(options, async (connection) => {
      await lockSource(connection, sourceId, 'alone')
      // First: what is being compressed changes its place, and would not be found.
      for (const retention of RETENTION_CLASSES) await lockRollUps(connection, retention, 'wait')
      await connection.query('set local timescaledb.max_tuples_decompressed_per_dml_transaction = 0')
      return removeSource(connection, TIMESCALE_RELATIONS, sourceId, deleteRolledUp)
    })
    return value
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
    const problems = await runFailedJobs(this.#database)
    for (const problem of problems) this.#log(problem)
    return { partitionsCreated: 0, partitionsDropped, compressed, problems }
  }

  rollUp(now: Date, signal?: AbortSignal): Promise<RollUpReport> {
    return this.#rollUps.rollUp(now.getTime(), signal)
  }
}
