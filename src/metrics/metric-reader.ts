import type { TenantScope } from '../access/tenant-scope.ts'
import type { Connection } from '../database/connection.ts'
import type { Database, ReadOptions } from '../database/database.ts'
import type { Freshness } from '../database/position.ts'
import { checkQuery, describePlans, prepareQuery, queryBuckets } from './bucket-query.ts'
import { readChart } from './chart.ts'
import { emitted } from './emitted.ts'
import { newestStatement, toNewest } from './latest-points.ts'
import type { ChartPoints, MetricBucket, MetricQuery, QueryPlan } from './metric-query.ts'
import type {
  MetricPoint,
  MetricsEngine,
  PointColumns,
  Series,
  SeriesFilter,
  SeriesId,
  SourceSummary,
  TimeRange,
} from './metrics-engine.ts'
import type { MetricsRelations } from './metrics-relations.ts'
import { ownedSeries, possibleIds } from './owned-series.ts'
import { readTail, scanPoints } from './point-scanner.ts'
import { listSeries, summariseSources } from './series-listing.ts'

/** Longest time of one statement of a read; its connection also idles while its reader works, and may do so for this long. */
const READ_TIMEOUT_MS = 300_000

/** Gets points and roll-ups out, for any engine whose relations look as {@link MetricsRelations} says. */
export class MetricReader {
  readonly #database: Database
  readonly #relations: MetricsRelations

  constructor(database: Database, relations: MetricsRelations) {
    this.#database = database
    this.#relations = relations
  }

  /** As `MetricsEngine.listSeries`. */
  async listSeries(scope: TenantScope, filter: SeriesFilter): Promise<Series[]> {
    const { freshness = 'latest' } = filter
    return this.#database.read({ role: 'nomaly_app', scope, freshness }, (connection) =>
      listSeries(connection, filter),
    )
  }

  /** As `MetricsEngine.query`. */
  async *query(scope: TenantScope, query: MetricQuery): AsyncGenerator<MetricBucket, void, void> {
    const checked = checkQuery(query)
    const { freshness, signal } = query
    const asked = { role: 'nomaly_app', scope, freshness, signal, timeoutMs: READ_TIMEOUT_MS } as const
    const batches = emitted<MetricBucket[]>(signal, async (give) => {
      const { emit, isAnswered } = answering(give)
      const options = { ...asked, isAnswered }
      const whole = await this.#database.read(options, async (connection) => {
        const prepared = await prepareQuery(connection, this.#relations, checked)
        return queryBuckets(connection, this.#relations, checked, prepared, emit, 'commit')
      })
      await emit(whole)
    })
    for await (const batch of batches)
      for (const bucket of batch) {
        signal?.throwIfAborted()
        yield bucket
      }
  }

  /** As `MetricsEngine.explain`. */
  async explain(engine: MetricsEngine['name'], scope: TenantScope, query: MetricQuery): Promise<QueryPlan> {
    const checked = checkQuery(query)
    const { freshness, signal } = query
    return this.#database.read({ role: 'nomaly_app', scope, freshness, signal }, async (connection) => {
      const { selected, plans } = await prepareQuery(connection, this.#relations, checked)
      return { engine, series: selected.count, segments: describePlans(plans) }
    })
  }

  /** As `MetricsEngine.chart`. */
  async chart(
    scope: TenantScope,
    series: SeriesId,
    range: TimeRange,
    maxPoints: number,
    signal?: AbortSignal,
    freshness?: Freshness,
  ): Promise<ChartPoints> {
    return this.#read({ scope, signal, freshness }, (connection) =>
      readChart(connection, this.#relations, series, range, maxPoints),
    )
  }

  /** As `MetricsEngine.scan`. */
  scan(
    scope: TenantScope,
    series: readonly SeriesId[],
    range: TimeRange,
    signal?: AbortSignal,
    freshness?: Freshness,
  ): AsyncGenerator<PointColumns, void, void> {
    return emitted(signal, (give) => {
      const { emit, isAnswered } = answering(give)
      return this.#read({ scope, signal, freshness, isAnswered }, async (connection) => {
        const owned = await ownedSeries(connection, series)
        await connection.become('nomaly_system')
        const found = [...new Set(series)].flatMap((id) => {
          const retention = owned.get(id)
          return retention === undefined ? [] : [{ id, retention }]
        })
        await scanPoints(connection, this.#relations, found, range, emit)
      })
    })
  }

  /** As `MetricsEngine.tail`. */
  async tail(
    scope: TenantScope,
    series: SeriesId,
    range: TimeRange,
    limit: number,
    signal?: AbortSignal,
    freshness?: Freshness,
  ): Promise<PointColumns> {
    return this.#read({ scope, signal, freshness }, async (connection) => {
      const retention = (await ownedSeries(connection, [series])).get(series)
      if (retention === undefined)
        return { seriesId: series, timesMs: new Float64Array(), values: new Float64Array() }
      await connection.become('nomaly_system')
      return readTail(connection, this.#relations, { id: series, retention }, range, limit)
    })
  }

  /** As `MetricsEngine.summaries`. */
  async summaries(
    scope: TenantScope,
    sourceIds: readonly string[],
    freshness: Freshness = 'latest',
  ): Promise<Map<string, SourceSummary>> {
    return this.#database.read({ role: 'nomaly_app', scope, freshness }, (connection) =>
      summariseSources(connection, sourceIds),
    )
  }

  /** As `MetricsEngine.latest`. */
  async latest(scope: TenantScope, series: readonly SeriesId[]): Promise<MetricPoint[]> {
    const ids = possibleIds(series)
    if (ids.length === 0) return []
    const options = { role: 'nomaly_system', scope, freshness: 'latest' } as const
    const [rows] = await this.#database.read(options, (connection) =>
      connection.batch([newestStatement(ids)], 'commit'),
    )
    return toNewest(rows!)
  }

  #read<T>(
    read: Pick<ReadOptions, 'signal' | 'isAnswered'> & {
      readonly scope: TenantScope
      readonly freshness: Freshness | undefined
    },
    work: (connection: Connection) => Promise<T>,
  ): Promise<T> {
    const options: ReadOptions = {
      ...read,
      role: 'nomaly_app',
      freshness: read.freshness ?? 'latest',
      timeoutMs: READ_TIMEOUT_MS,
    }
    return this.#database.read(options, async (connection) => {
      await this.#enter(connection)
      return work(connection)
    })
  }

  /** Locking a table takes no snapshot yet (PostgreSQL manual, LOCK). */
  async #enter(connection: Connection): Promise<void> {
    const { readersGate } = this.#relations
    if (readersGate !== undefined) await connection.batch([`lock table ${readersGate} in access share mode`])
  }
}

/** Notes whether anything was handed out: what was cannot be taken back, where a read has to be made anew. */
function answering<T>(give: (item: T) => Promise<void>): {
  readonly emit: (item: T) => Promise<void>
  readonly isAnswered: () => boolean
} {
  let isAnswered = false
  return {
    emit: (item) => {
      isAnswered = true
      return give(item)
    },
    isAnswered: () => isAnswered,
  }
}
