import type { TenantScope } from '../access/tenant-scope.ts'
import type { Connection } from '../database/connection.ts'
import type { Database } from '../database/database.ts'
import { isRetryable, sqlState } from '../database/database-errors.ts'
import type { Committed } from '../database/position.ts'
import { planBuckets, queryBuckets } from './bucket-query.ts'
import { emitted } from './emitted.ts'
import { createLatest, readLatest, updateLatest } from './latest-points.ts'
import type {
  AppendReport,
  CorrectionReport,
  MaintenanceReport,
  MetricBucket,
  MetricPoint,
  MetricQuery,
  MetricsEngine,
  PointBatch,
  PointColumns,
  Series,
  SeriesFilter,
  SeriesId,
  SeriesSource,
  SourceSummary,
  TimeRange,
} from './metrics-engine.ts'
import { ownedSeries } from './owned-series.ts'
import { UnknownPartitions } from './partition-map.ts'
import { Partitions } from './partitions.ts'
import { type OrderedPoints, orderPoints } from './point-order.ts'
import { readTail, scanPoints } from './point-scanner.ts'
import { type SoundPoints, validatePoints } from './point-validation.ts'
import { beginWriting, insertPoints, overwritePoints } from './point-writer.ts'
import { retentionCutoffMs } from './retention.ts'
import { type ResolvedSeries, SeriesCatalog } from './series-catalog.ts'
import { listSeries, summariseSources } from './series-listing.ts'
import { removeSource } from './source-removal.ts'
import { awaitWriters, isSourceId, lockSource } from './source-lock.ts'

export interface PartitionedEngineOptions {
  readonly database: Database
  /** The time that retention counts from, in epoch milliseconds. */
  readonly clock: () => number
  /** Asked in the transaction of every write, as the tenant, and throws where the source is gone; left out where nobody can know. */
  readonly requireSource?: (connection: Connection, source: SeriesSource) => Promise<void>
}

/** How often a write is tried that collided with another one, or found a partition gone. */
const WRITE_ATTEMPTS = 5

/** Longest time of one statement of a write: a COPY of 50,000 points, and waiting for other writers. */
const STATEMENT_TIMEOUT_MS = 60_000

/** Longest time of one statement of a read; its connection also idles while its reader works, and may do so for this long. */
const READ_TIMEOUT_MS = 300_000

const REMOVAL_TIMEOUT_MS = 600_000

/** Metrics in plain PostgreSQL: range partitions for each retention class, one index, no extension. */
export class PartitionedEngine implements MetricsEngine {
  readonly name = 'partitioned'
  readonly #database: Database
  readonly #clock: () => number
  readonly #requireSource: (connection: Connection, source: SeriesSource) => Promise<void>
  readonly #catalog = new SeriesCatalog()
  readonly #partitions: Partitions

  constructor({ database, clock, requireSource }: PartitionedEngineOptions) {
    this.#database = database
    this.#clock = clock
    this.#requireSource = requireSource ?? (async () => {})
    this.#partitions = new Partitions(database)
  }

  async append(
    scope: TenantScope,
    batch: PointBatch,
    signal?: AbortSignal,
  ): Promise<Committed<AppendReport>> {
    return this.#write(scope, batch, 'append', signal, async (connection, points) => {
      const written = await insertPoints(connection, points)
      return {
        inserted: written.inserted,
        duplicates: points.duplicates + written.duplicates,
        conflicting: points.conflicting + written.conflicting,
      }
    })
  }

  async correct(
    scope: TenantScope,
    batch: PointBatch,
    signal?: AbortSignal,
  ): Promise<Committed<CorrectionReport>> {
    return this.#write(scope, batch, 'correct', signal, async (connection, points) => {
      const { changed, inserted, unchanged } = await overwritePoints(connection, points)
      return { changed, inserted, unchanged: unchanged + points.duplicates + points.conflicting }
    })
  }

  async listSeries(scope: TenantScope, filter: SeriesFilter): Promise<Series[]> {
    return this.#database.read({ role: 'nomaly_app', scope, freshness: 'latest' }, (connection) =>
      listSeries(connection, filter),
    )
  }

  async *query(scope: TenantScope, query: MetricQuery): AsyncGenerator<MetricBucket, void, void> {
    const plan = planBuckets(query)
    const { freshness, signal } = query
    const batches = emitted<MetricBucket[]>(signal, (emit) =>
      this.#database.read(
        { role: 'nomaly_app', scope, freshness, signal, timeoutMs: READ_TIMEOUT_MS },
        async (connection) => {
          const owned = await ownedSeries(connection, query.series)
          await connection.become('nomaly_system')
          await queryBuckets(connection, owned, plan, emit)
        },
      ),
    )
    for await (const batch of batches)
      for (const bucket of batch) {
        signal?.throwIfAborted()
        yield bucket
      }
  }

  scan(
    scope: TenantScope,
    series: readonly SeriesId[],
    range: TimeRange,
    signal?: AbortSignal,
  ): AsyncGenerator<PointColumns, void, void> {
    const options = {
      role: 'nomaly_app',
      scope,
      freshness: 'latest',
      signal,
      timeoutMs: READ_TIMEOUT_MS,
    } as const
    return emitted(signal, (emit) =>
      this.#database.read(options, async (connection) => {
        const owned = await ownedSeries(connection, series)
        await connection.become('nomaly_system')
        const found = [...new Set(series)].flatMap((id) => {
          const retention = owned.get(id)
          return retention === undefined ? [] : [{ id, retention }]
        })
        await scanPoints(connection, found, range, emit)
      }),
    )
  }

  async tail(
    scope: TenantScope,
    series: SeriesId,
    range: TimeRange,
    limit: number,
    signal?: AbortSignal,
  ): Promise<PointColumns> {
    const options = {
      role: 'nomaly_app',
      scope,
      freshness: 'latest',
      signal,
      timeoutMs: READ_TIMEOUT_MS,
    } as const
    return this.#database.read(options, async (connection) => {
      const retention = (await ownedSeries(connection, [series])).get(series)
      if (retention === undefined)
        return { seriesId: series, timesMs: new Float64Array(), values: new Float64Array() }
      await connection.become('nomaly_system')
      return readTail(connection, { id: series, retention }, range, limit)
    })
  }

  async summaries(scope: TenantScope, sourceIds: readonly string[]): Promise<Map<string, SourceSummary>> {
    return this.#database.read({ role: 'nomaly_app', scope, freshness: 'latest' }, (connection) =>
      summariseSources(connection, sourceIds),
    )
  }

  async settled(sourceId: string, signal?: AbortSignal): Promise<void> {
    await awaitWriters(this.#database, sourceId, signal)
  }

  async latest(scope: TenantScope, series: readonly SeriesId[]): Promise<MetricPoint[]> {
    return this.#database.read({ role: 'nomaly_app', scope, freshness: 'latest' }, async (connection) => {
      const owned = await ownedSeries(connection, series)
      await connection.become('nomaly_system')
      return readLatest(connection, [...owned.keys()])
    })
  }

  async dropSource(scope: TenantScope, sourceId: string): Promise<number> {
    if (!isSourceId(sourceId)) return 0
    const options = { role: 'nomaly_app', scope, timeoutMs: REMOVAL_TIMEOUT_MS } as const
    const { value } = await this.#database.transaction(options, async (connection) => {
      await lockSource(connection, sourceId, 'alone')
      return removeSource(connection, sourceId)
    })
    return value
  }

  async maintain(now: Date): Promise<MaintenanceReport> {
    return this.#partitions.maintain(now.getTime())
  }

  /** Validates, resolves and orders a batch, and has it written in one transaction, again where it collides with another. */
  async #write<Counts extends object>(
    scope: TenantScope,
    batch: PointBatch,
    mode: 'append' | 'correct',
    signal: AbortSignal | undefined,
    work: (connection: Connection, points: OrderedPoints) => Promise<Counts>,
  ): Promise<Committed<Counts & Pick<SoundPoints, 'rejected' | 'rejectedTotal'>>> {
    for (let attempt = 1; ; attempt++) {
      try {
        return await this.#writeOnce(scope, batch, mode, signal, work)
      } catch (error) {
        if (attempt === WRITE_ATTEMPTS) throw error
        if (error instanceof UnknownPartitions)
          for (const [retention, days] of error.days)
            await this.#partitions.ensure(retention, days, this.#clock(), signal)
        else if (isMissingPartition(error)) this.#partitions.forgetAll()
        else if (!isRetryable(error)) throw error
      }
    }
  }

  async #writeOnce<Counts extends object>(
    scope: TenantScope,
    batch: PointBatch,
    mode: 'append' | 'correct',
    signal: AbortSignal | undefined,
    work: (connection: Connection, points: OrderedPoints) => Promise<Counts>,
  ): Promise<Committed<Counts & Pick<SoundPoints, 'rejected' | 'rejectedTotal'>>> {
    const { source, keys } = batch
    const nowMs = this.#clock()
    const cutoffMs = retentionCutoffMs(source.retention, nowMs)
    let sound = validatePoints(batch, () => cutoffMs)
    // Before series are made: an attempt that fails for want of a partition would burn their ids.
    this.#partitions.map.require(source.retention, sound.micros.subarray(0, sound.count))
    let resolved: ResolvedSeries | undefined
    const options = { role: 'nomaly_app', scope, signal, timeoutMs: STATEMENT_TIMEOUT_MS } as const
    const { value, position } = await this.#database.transaction(options, async (connection) => {
      await lockSource(connection, source.id, mode === 'append' ? 'shared' : 'alone')
      await this.#requireSource(connection, source)
      resolved = await this.#catalog.resolve(connection, scope, source, keys, sound.keyUsed)
      const { byKey, created } = resolved
      // A series keeps the class it was made with, whatever its source has now.
      if (byKey.some((known) => known !== undefined && known.retention !== source.retention))
        sound = validatePoints(batch, (index) =>
          Math.max(cutoffMs, retentionCutoffMs(byKey[index]?.retention ?? source.retention, nowMs)),
        )
      const points = orderPoints(sound, byKey, this.#partitions.map, mode === 'append' ? 'first' : 'last')
      await beginWriting(connection)
      await createLatest(connection, created)
      const counts = await work(connection, points)
      await updateLatest(connection, points, mode === 'append' ? 'keep' : 'replace')
      return counts
    })
    resolved?.remember()
    const { rejected, rejectedTotal } = sound
    return { value: { ...value, rejected, rejectedTotal }, position }
  }
}

/** Whether a write found that a partition is gone, dropped by another process: SQLSTATE 23514, as no table has a check. */
function isMissingPartition(error: unknown): boolean {
  return (
    sqlState(error) === '23514' && error instanceof Error && /no partition of relation/.test(error.message)
  )
}
