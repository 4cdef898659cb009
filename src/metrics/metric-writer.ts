import type { TenantScope } from '../access/tenant-scope.ts'
import type { Connection } from '../database/connection.ts'
import type { Database } from '../database/database.ts'
import { isRetryable, sqlState } from '../database/database-errors.ts'
import type { Committed } from '../database/position.ts'
import type { MergeStorage } from './backfill-merge.ts'
import { journalPoints, requireEngine } from './engine-state.ts'
import { createLatest, updateLatest } from './latest-points.ts'
import type { AppendReport, CorrectionReport, PointBatch, SeriesSource } from './metrics-engine.ts'
import type { MetricsRelations } from './metrics-relations.ts'
import { UnknownPartitions } from './partition-map.ts'
import { type OrderedPoints, orderPoints } from './point-order.ts'
import { type SoundPoints, validatePoints } from './point-validation.ts'
import { beginWriting } from './point-writer.ts'
import { retentionCutoffMs } from './retention.ts'
import { markLate } from './roll-up-ledger.ts'
import { type ResolvedSeries, SeriesCatalog } from './series-catalog.ts'
import { lockSourceForWriting } from './source-lock.ts'

/** What tables points go to, and how: the part of writing that engines differ in. */
export interface PointStorage extends MergeStorage {
  /** As `nomaly_system`, after {@link beginWriting}. */
  insert(
    connection: Connection,
    points: OrderedPoints,
  ): Promise<Pick<AppendReport, 'inserted' | 'duplicates' | 'conflicting'>>
  /** As `nomaly_system`, after {@link beginWriting}, and alone with the series of these points. */
  overwrite(
    connection: Connection,
    points: OrderedPoints,
  ): Promise<Pick<CorrectionReport, 'changed' | 'inserted' | 'unchanged'>>
}

export interface MetricWriterOptions {
  readonly database: Database
  readonly relations: MetricsRelations
  readonly storage: PointStorage
  /** The time that retention counts from, in epoch milliseconds. */
  readonly clock: () => number
  /** Asked in the transaction of every write, as the tenant, and throws where the source is gone; left out where nobody can know. */
  readonly requireSource?: ((connection: Connection, source: SeriesSource) => Promise<void>) | undefined
  /** Series that one dataset may have; without it there is no limit. */
  readonly maxSeriesPerDataset?: number | undefined
}

/** How often a write is tried that collided with another one, or found a partition gone. */
const WRITE_ATTEMPTS = 5

/** Longest time of one statement of a write: a COPY of 50,000 points, and waiting for other writers. */
const STATEMENT_TIMEOUT_MS = 60_000

type Work<Counts> = (
  connection: Connection,
  points: OrderedPoints,
  rejectedTotal: number,
) => Promise<Counts & { isChanged: boolean }>
type Rejections = Pick<SoundPoints, 'rejected' | 'rejectedTotal'>

/** Some of a batch cannot be stored as it is, and nothing of it shall be. */
class NotFresh extends Error {}

/** Puts points in: validates, names, orders and stores a batch in one transaction, with its newest points and its marks. */
export class MetricWriter {
  readonly #options: MetricWriterOptions
  readonly #catalog: SeriesCatalog

  constructor(options: MetricWriterOptions) {
    this.#options = options
    this.#catalog = new SeriesCatalog(options.maxSeriesPerDataset)
  }

  /** As `MetricsEngine.append`. */
  async append(
    scope: TenantScope,
    batch: PointBatch,
    signal?: AbortSignal,
  ): Promise<Committed<AppendReport>> {
    return this.#write(scope, batch, 'append', signal, async (connection, points) => {
      const written = await this.#options.storage.insert(connection, points)
      return {
        inserted: written.inserted,
        duplicates: points.duplicates + written.duplicates,
        conflicting: points.conflicting + written.conflicting,
        isChanged: written.inserted > 0,
      }
    })
  }

  /** As `MetricsEngine.appendFresh`. */
  async appendFresh(
    scope: TenantScope,
    batch: PointBatch,
    signal?: AbortSignal,
  ): Promise<Committed<AppendReport> | undefined> {
    try {
      return await this.#write(scope, batch, 'append', signal, async (connection, points, rejectedTotal) => {
        if (rejectedTotal > 0 || points.duplicates + points.conflicting > 0) throw new NotFresh()
        const { inserted, duplicates, conflicting } = await this.#options.storage.insert(connection, points)
        if (duplicates + conflicting > 0) throw new NotFresh()
        return { inserted, duplicates, conflicting, isChanged: inserted > 0 }
      })
    } catch (error) {
      if (error instanceof NotFresh) return undefined
      throw error
    }
  }

  /** As `MetricsEngine.correct`. */
  async correct(
    scope: TenantScope,
    batch: PointBatch,
    signal?: AbortSignal,
  ): Promise<Committed<CorrectionReport>> {
    return this.#write(scope, batch, 'correct', signal, async (connection, points) => {
      const { changed, inserted, unchanged } = await this.#options.storage.overwrite(connection, points)
      return {
        changed,
        inserted,
        unchanged: unchanged + points.duplicates + points.conflicting,
        isChanged: changed + inserted > 0,
      }
    })
  }

  /** Writes once, and again where the batch collides with another. */
  async #write<Counts extends object>(
    scope: TenantScope,
    batch: PointBatch,
    mode: 'append' | 'correct',
    signal: AbortSignal | undefined,
    work: Work<Counts>,
  ): Promise<Committed<Counts & Rejections>> {
    const { storage, clock } = this.#options
    for (let attempt = 1; ; attempt++) {
      try {
        return await this.#writeOnce(scope, batch, mode, signal, work)
      } catch (error) {
        if (attempt === WRITE_ATTEMPTS) throw error
        if (error instanceof UnknownPartitions)
          for (const [retention, days] of error.days) await storage.ensure(retention, days, clock(), signal)
        else if (isMissingPartition(error)) storage.forgetAll()
        else if (!isRetryable(error)) throw error
      }
    }
  }

  async #writeOnce<Counts extends object>(
    scope: TenantScope,
    batch: PointBatch,
    mode: 'append' | 'correct',
    signal: AbortSignal | undefined,
    work: Work<Counts>,
  ): Promise<Committed<Counts & Rejections>> {
    const { database, relations, storage, clock, requireSource } = this.#options
    const { source, keys } = batch
    const nowMs = clock()
    const cutoffMs = retentionCutoffMs(source.retention, nowMs)
    let sound = validatePoints(batch, () => cutoffMs)
    // Before series are made: an attempt that fails for want of a partition would burn their ids.
    storage.map.require(source.retention, sound.micros.subarray(0, sound.count))
    let resolved: ResolvedSeries | undefined
    // Points that are there already do no harm. Writes that overlap may collide where they fill many chunks.
    const options = {
      role: 'nomaly_app',
      scope,
      signal,
      timeoutMs: STATEMENT_TIMEOUT_MS,
      retry: true,
    } as const
    const { value, position } = await database.transaction(options, async (connection) => {
      const state = await lockSourceForWriting(connection, source.id, mode === 'append' ? 'shared' : 'alone')
      requireEngine(state, relations.engine)
      await requireSource?.(connection, source)
      resolved = await this.#catalog.resolve(connection, scope, source, keys, sound.keyUsed)
      const { byKey, created } = resolved
      // A series keeps the class it was made with, whatever its source has now.
      if (byKey.some((known) => known !== undefined && known.retention !== source.retention))
        sound = validatePoints(batch, (index) =>
          Math.max(cutoffMs, retentionCutoffMs(byKey[index]?.retention ?? source.retention, nowMs)),
        )
      const points = orderPoints(sound, byKey, storage.map, mode === 'append' ? 'first' : 'last')
      const closing = await beginWriting(connection, relations)
      await createLatest(connection, created)
      const { isChanged, ...counts } = await work(connection, points, sound.rejectedTotal)
      await updateLatest(connection, points, mode === 'append' ? 'keep' : 'replace')
      if (isChanged) {
        await markLate(connection, relations, points, closing)
        await journalPoints(connection, points, state)
      }
      return counts as unknown as Counts
    })
    resolved?.remember()
    const { rejected, rejectedTotal } = sound
    return { value: { ...value, rejected, rejectedTotal }, position }
  }
}

/** Whether a write found that a partition is gone, dropped by another process: SQLSTATE 23514, as no table of points has a check. */
export function isMissingPartition(error: unknown): boolean {
  return (
    sqlState(error) === '23514' && error instanceof Error && /no partition of relation/.test(error.message)
  )
}
