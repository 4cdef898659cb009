import { randomUUID } from 'node:crypto'
import { Database } from '../../src/database/database.ts'
import type { MigrationSet } from '../../src/database/migrator.ts'
import type { MetricsEngine, PointBatch, Series } from '../../src/metrics/metrics-engine.ts'
import { ask, type BenchDatabase } from './bench-server.ts'
import { type AnswerRow, type Question, type QuestionId, toRow, valueRow } from './question.ts'
import type { Side } from './side.ts'
import type { Workload } from './workload.ts'

/** What is particular to one of our engines. */
export interface EngineKind {
  readonly name: MetricsEngine['name']
  /** Whether it needs a server with TimescaleDB. */
  readonly needsTimescale: boolean
  readonly sets: readonly MigrationSet[]
  /** The table that holds points which are kept forever. */
  readonly pointsTable: string
  open(database: Database, clock: () => number): MetricsEngine
  /** What a database weighs that holds so many points. */
  weigh(adminUrl: string, points: number): Promise<BytesPerPoint>
}

/** Bytes per point, with all indexes. */
export interface BytesPerPoint {
  /** Of points that are as they will stay: compressed, where the engine does that. */
  readonly settled: number
  /** Of all points: the newest ones are not compressed yet. */
  readonly points: number
  /** Of everything there is, with roll-ups and the names of series. */
  readonly everything: number
}

const INSTANTS_AT_ONCE = 20
const HOUR_SECONDS = 3_600
const DAY_SECONDS = 86_400
/** The questions are about counts, sums and extremes. */
const NOT_ASKED = ['last', 'sumSquares'] as const

/** One of our engines, asked only through its port, as the product asks it. */
export class EngineSide implements Side {
  readonly name: string
  readonly #engine: MetricsEngine
  readonly #database: Database
  readonly #workload: Workload
  readonly #adminUrl: string
  readonly #scope = { tenantId: randomUUID() }
  readonly #source = { kind: 'dataset', id: randomUUID(), retention: 'forever' } as const
  #series: readonly Series[] = []
  readonly #shown = new Map<QuestionId, ReadonlyMap<number, string>>()

  private constructor(
    name: string,
    engine: MetricsEngine,
    database: Database,
    workload: Workload,
    adminUrl: string,
  ) {
    this.name = name
    this.#engine = engine
    this.#database = database
    this.#workload = workload
    this.#adminUrl = adminUrl
  }

  /** Opens an engine on a migrated database; its clock stands where the workload ends. */
  static open(
    kind: EngineKind,
    { adminUrl, applicationUrl }: BenchDatabase,
    workload: Workload,
    name: string = kind.name,
  ): EngineSide {
    const database = openDatabase(applicationUrl)
    return new EngineSide(
      name,
      kind.open(database, () => workload.endMs),
      database,
      workload,
      adminUrl,
    )
  }

  /** Appends the workload and does the work that otherwise goes on in the background; answers how long either took. */
  async load(
    signal: AbortSignal,
    progress: (message: string) => void,
  ): Promise<{ appendMs: number; rollUpMs: number }> {
    const { jobs, metrics, points, endMs } = this.#workload
    const keys = jobs.flatMap(({ id, host, region }) =>
      metrics.map((metric) => ({ metric, tags: { job: id, host, region } })),
    )
    const start = performance.now()
    let appended = 0
    for (const columns of this.#workload.batches(INSTANTS_AT_ONCE)) {
      const batch: PointBatch = { source: this.#source, keys, ...columns }
      const { value } = await this.#engine.append(this.#scope, batch, signal)
      if (value.inserted !== columns.values.length) throw new Error('A point was not stored.')
      appended += value.inserted
      progress(`${this.name}: ${Math.round((100 * appended) / points)} % of ${points / 1e6} M points`)
    }
    const appendedAt = performance.now()
    const now = new Date(endMs)
    await this.#engine.maintain(now)
    while ((await this.#engine.rollUp(now, signal)).hasMore);
    await this.#engine.maintain(now)
    const rolledUpAt = performance.now()
    await ask(this.#adminUrl, 'vacuum (analyze)')
    this.#series = await this.#engine.listSeries(this.#scope, {
      sourceId: this.#source.id,
      limit: keys.length,
    })
    return { appendMs: appendedAt - start, rollUpMs: rolledUpAt - appendedAt }
  }

  /** Where a question by hours is answered from, such as `hourly 166 h, raw 1 h`. */
  async explain(question: Question): Promise<string> {
    if (question.kind !== 'hours') return ''
    const plan = await this.#engine.explain(this.#scope, this.#query(question))
    return plan.segments
      .map(({ source, fromMs, toMs }) => `${source} ${Math.round((toMs - fromMs) / 3_600_000)} h`)
      .join(', ')
  }

  async ask(question: Question): Promise<AnswerRow[]> {
    switch (question.kind) {
      case 'hours': {
        const rows: AnswerRow[] = []
        for await (const { group, startMs, count, sum, min, max } of this.#engine.query(
          this.#scope,
          this.#query(question),
        ))
          rows.push(toRow(question.byMetric ? group! : '', startMs, [count, sum!, min!, max!]))
        return rows
      }
      case 'top':
        return this.#top(question)
      case 'latest': {
        const shown = this.#shownFor(question)
        const points = await this.#engine.latest(this.#scope, [...shown.keys()])
        return points.map(({ seriesId, timeMs, value }) => valueRow(shown.get(seriesId)!, timeMs, value))
      }
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#database[Symbol.asyncDispose]()
  }

  #query({ select, fromMs, toMs, byMetric }: Extract<Question, { kind: 'hours' }>) {
    const { job, metric, host } = select
    const sourceId = this.#source.id
    const one = this.#series.find((series) => series.metric === metric && series.tags['job'] === job)
    return {
      // Whoever asks for one series knows its id.
      series:
        one === undefined
          ? {
              sourceId,
              ...(metric === undefined ? {} : { metric }),
              ...(host === undefined ? {} : { tags: { host } }),
            }
          : [one.id],
      range: { fromMs, toMs },
      bucket: { seconds: HOUR_SECONDS },
      groupBy: byMetric ? ('metric' as const) : ('all' as const),
      without: NOT_ASKED,
      freshness: 'latest' as const,
    }
  }

  /** A dashboard knows the series that it shows. */
  #shownFor({ id, metrics }: Extract<Question, { kind: 'latest' }>): ReadonlyMap<number, string> {
    const known = this.#shown.get(id)
    if (known !== undefined) return known
    const ofMetrics = this.#series.filter(({ metric }) => metrics.includes(metric))
    const shown = new Map(
      ofMetrics.map(({ id: series, metric, tags }) => [series, `${tags['job']} ${metric}`]),
    )
    this.#shown.set(id, shown)
    return shown
  }

  /** The port has no order and no groups by tag: each job has one series of the metric here, and the ten are picked from all. */
  async #top(question: Extract<Question, { kind: 'top' }>): Promise<AnswerRow[]> {
    const { metric, fromMs, toMs, limit } = question
    const selection = { sourceId: this.#source.id, metric }
    const jobs = new Map(
      (await this.#engine.listSeries(this.#scope, selection)).map(({ id, tags }) => [id, tags['job']!]),
    )
    const totals = new Map<string, number>()
    const query = {
      series: selection,
      range: { fromMs, toMs },
      bucket: { seconds: DAY_SECONDS },
      without: NOT_ASKED,
      freshness: 'latest' as const,
    }
    for await (const { seriesId, sum } of this.#engine.query(this.#scope, query)) {
      const job = jobs.get(seriesId)!
      totals.set(job, (totals.get(job) ?? 0) + (sum ?? 0))
    }
    return [...totals]
      .toSorted(([a, totalA], [b, totalB]) => totalB - totalA || (a < b ? -1 : 1))
      .slice(0, limit)
      .map(([job, total]) => valueRow(job, 0, total))
  }
}

/** A pool as the product has one by default, to a database of the run's. */
export function openDatabase(applicationUrl: string): Database {
  return new Database({
    url: applicationUrl,
    applicationName: 'nomaly bench',
    maxConnections: 10,
    acquireTimeoutMs: 10_000,
    statementTimeoutMs: 600_000,
    commitTimeoutMs: 60_000,
    log: (message) => console.error(message),
  })
}
