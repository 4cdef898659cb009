import type { TenantScope } from '../access/tenant-scope.ts'
import type { MetricQuery } from '../metrics/metric-query.ts'
import type { MetricsEngine, SeriesId } from '../metrics/metrics-engine.ts'

/** What a commit touches that may have changed points of any dataset of its tenant. */
export const ALL_POINTS = 'points'

/**
 * How long what was read of points is kept. A process that dies between the commit of points and telling the cache leaves nothing that would
 * tell it later: the points were not acknowledged, and for so long they may be seen by some and not by others.
 */
export const POINTS_TTL_SECONDS = 60

/** What a commit touches that changed points of a dataset, or of a job. */
export function pointsTag(sourceId: string): string {
  return `${ALL_POINTS}:${sourceId}`
}

/** Whether a tag speaks of points, and so of the database of the metrics. */
export function isPointsTag(tag: string): boolean {
  return tag === ALL_POINTS || tag.startsWith(`${ALL_POINTS}:`)
}

const MAX_REMEMBERED = 100_000

/** Finds what the answer to a query depends on. */
export class PointTags {
  readonly #metrics: Pick<MetricsEngine, 'listSeries'>
  /** The source of each series, which never changes. */
  readonly #sources = new Map<string, string>()

  constructor(metrics: Pick<MetricsEngine, 'listSeries'>) {
    this.#metrics = metrics
  }

  /** The tags of a query; `undefined` where it asks for series that are not there, and might come to be. */
  async of(scope: TenantScope, series: MetricQuery['series']): Promise<string[] | undefined> {
    if ('sourceId' in series) return [ALL_POINTS, pointsTag(series.sourceId)]
    await this.#learn(scope, series)
    const sources = new Set(series.map((id) => this.#sources.get(`${scope.tenantId} ${id}`)))
    if (sources.has(undefined)) return undefined
    return [ALL_POINTS, ...[...sources].map((id) => pointsTag(id!)).toSorted()]
  }

  async #learn(scope: TenantScope, series: readonly SeriesId[]): Promise<void> {
    const ids = series.filter((id) => !this.#sources.has(`${scope.tenantId} ${id}`))
    if (ids.length === 0) return
    if (this.#sources.size > MAX_REMEMBERED) this.#sources.clear()
    for (const { id, source } of await this.#metrics.listSeries(scope, { ids, limit: ids.length }))
      this.#sources.set(`${scope.tenantId} ${id}`, source.id)
  }
}
