import type { TenantScope } from '../access/tenant-scope.ts'
import type { Database } from '../database/database.ts'
import { sqlState } from '../database/database-errors.ts'
import type { Committed, Freshness } from '../database/position.ts'
import { NomalyError } from '../errors.ts'
import type { BackfillStep } from './backfill.ts'
import { EngineMoved, readEngineState } from './engine-state.ts'
import type { ChartPoints, MetricBucket, MetricQuery, QueryPlan } from './metric-query.ts'
import type {
  AppendReport,
  CorrectionReport,
  MaintenanceReport,
  MetricPoint,
  MetricsEngine,
  PointBatch,
  PointColumns,
  RollUpReport,
  Series,
  SeriesFilter,
  SeriesId,
  TimeRange,
} from './metrics-engine.ts'

const INSUFFICIENT_PRIVILEGE = '42501'

/**
 * The engine that keeps the points of a database now, also when they are moved to the other one while this process runs: what then fails,
 * since the tables of the former engine are closed to it, is done again by the new one.
 */
export class MovableMetrics implements MetricsEngine {
  readonly #database: Database
  readonly #open: (name: MetricsEngine['name']) => MetricsEngine
  #engine: MetricsEngine

  private constructor(
    database: Database,
    open: (name: MetricsEngine['name']) => MetricsEngine,
    engine: MetricsEngine,
  ) {
    this.#database = database
    this.#open = open
    this.#engine = engine
  }

  /** Opens the engine that keeps the points of a database. */
  static async find(
    database: Database,
    open: (name: MetricsEngine['name']) => MetricsEngine,
  ): Promise<MovableMetrics> {
    return new MovableMetrics(database, open, open(await nameIn(database)))
  }

  get name(): MetricsEngine['name'] {
    return this.#engine.name
  }

  append(scope: TenantScope, batch: PointBatch, signal?: AbortSignal): Promise<Committed<AppendReport>> {
    return this.#call((engine) => engine.append(scope, batch, signal))
  }

  appendFresh(
    scope: TenantScope,
    batch: PointBatch,
    signal?: AbortSignal,
  ): Promise<Committed<AppendReport> | undefined> {
    return this.#call((engine) => engine.appendFresh(scope, batch, signal))
  }

  correct(scope: TenantScope, batch: PointBatch, signal?: AbortSignal): Promise<Committed<CorrectionReport>> {
    return this.#call((engine) => engine.correct(scope, batch, signal))
  }

  mergeBackfill(scope: TenantScope, backfillId: string, signal?: AbortSignal): Promise<BackfillStep> {
    return this.#call((engine) => engine.mergeBackfill(scope, backfillId, signal))
  }

  listSeries(scope: TenantScope, filter: SeriesFilter): Promise<Series[]> {
    return this.#call((engine) => engine.listSeries(scope, filter))
  }

  query(scope: TenantScope, query: MetricQuery): AsyncGenerator<MetricBucket, void, void> {
    return this.#iterate((engine) => engine.query(scope, query))
  }

  /** Looks first which engine it is: a plan reads no points, so nothing of it would fail. */
  async explain(scope: TenantScope, query: MetricQuery): Promise<QueryPlan> {
    await this.#hasMovedFrom(this.#engine)
    return this.#call((engine) => engine.explain(scope, query))
  }

  chart(
    scope: TenantScope,
    series: SeriesId,
    range: TimeRange,
    maxPoints: number,
    signal?: AbortSignal,
    freshness?: Freshness,
  ): Promise<ChartPoints> {
    return this.#call((engine) => engine.chart(scope, series, range, maxPoints, signal, freshness))
  }

  scan(
    scope: TenantScope,
    series: readonly SeriesId[],
    range: TimeRange,
    signal?: AbortSignal,
    freshness?: Freshness,
  ): AsyncGenerator<PointColumns, void, void> {
    return this.#iterate((engine) => engine.scan(scope, series, range, signal, freshness))
  }

  tail(
    scope: TenantScope,
    series: SeriesId,
    range: TimeRange,
    limit: number,
    signal?: AbortSignal,
    freshness?: Freshness,
  ): Promise<PointColumns> {
    return this.#call((engine) => engine.tail(scope, series, range, limit, signal, freshness))
  }

  summaries(
    scope: TenantScope,
    sourceIds: readonly string[],
    freshness?: Freshness,
  ): ReturnType<MetricsEngine['summaries']> {
    return this.#call((engine) => engine.summaries(scope, sourceIds, freshness))
  }

  settled(sourceId: string, signal?: AbortSignal): Promise<void> {
    return this.#call((engine) => engine.settled(sourceId, signal))
  }

  latest(scope: TenantScope, series: readonly SeriesId[]): Promise<MetricPoint[]> {
    return this.#call((engine) => engine.latest(scope, series))
  }

  dropSource(scope: TenantScope, sourceId: string): Promise<number> {
    return this.#call((engine) => engine.dropSource(scope, sourceId))
  }

  dropSeries(scope: TenantScope, sourceId: string, series: readonly SeriesId[]): Promise<number> {
    return this.#call((engine) => engine.dropSeries(scope, sourceId, series))
  }

  /** Looks first, too: what only makes room ahead does not fail. */
  async maintain(now: Date): Promise<MaintenanceReport> {
    await this.#hasMovedFrom(this.#engine)
    return this.#call((engine) => engine.maintain(now))
  }

  async rollUp(now: Date, signal?: AbortSignal): Promise<RollUpReport> {
    await this.#hasMovedFrom(this.#engine)
    return this.#call((engine) => engine.rollUp(now, signal))
  }

  async #call<T>(work: (engine: MetricsEngine) => Promise<T>): Promise<T> {
    const engine = this.#engine
    try {
      return await work(engine)
    } catch (error) {
      if (!couldBeMove(error) || !(await this.#hasMovedFrom(engine))) throw error
      return work(this.#engine)
    }
  }

  async *#iterate<T>(start: (engine: MetricsEngine) => AsyncIterable<T>): AsyncGenerator<T, void, void> {
    const engine = this.#engine
    let isUnderWay = false
    try {
      for await (const item of start(engine)) {
        isUnderWay = true
        yield item
      }
    } catch (error) {
      if (!couldBeMove(error) || !(await this.#hasMovedFrom(engine))) throw error
      // What was answered already cannot be taken back, nor told apart from what is still to come.
      if (isUnderWay)
        throw new NomalyError('unavailable', 'The metrics were moved while they were being read.', {
          hint: 'Ask again: from now on they are read from where they are.',
          retryAfterSeconds: 1,
          cause: error,
        })
      yield* start(this.#engine)
    }
  }

  /** Whether another engine keeps the points than this one did; goes over to it. */
  async #hasMovedFrom(engine: MetricsEngine): Promise<boolean> {
    // Another call has found out meanwhile.
    if (this.#engine !== engine) return true
    const name = await nameIn(this.#database)
    if (this.#engine.name === name) return this.#engine !== engine
    // A standby on which they are not all there yet would answer, and lack some.
    this.#database.replicas?.require(await this.#database.position())
    this.#engine = this.#open(name)
    return this.#engine !== engine
  }
}

async function nameIn(database: Database): Promise<MetricsEngine['name']> {
  const options = { role: 'nomaly_system', freshness: 'latest' } as const
  return (await database.read(options, readEngineState)).name
}

function couldBeMove(error: unknown): boolean {
  return error instanceof EngineMoved || sqlState(error) === INSUFFICIENT_PRIVILEGE
}
