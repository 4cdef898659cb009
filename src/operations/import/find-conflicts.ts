import type { TenantScope } from '../../access/tenant-scope.ts'
import type { MetricsEngine, PointBatch, SeriesId } from '../../metrics/metrics-engine.ts'
import { canonicalKey } from '../../metrics/series-key.ts'
import type { MetricsRun } from './import-metrics.ts'

const PAGE = 5_000

/** Ids of all series of a source, by {@link canonicalKey}. */
export async function seriesIds(
  metrics: MetricsEngine,
  scope: TenantScope,
  sourceId: string,
): Promise<Map<string, SeriesId>> {
  const ids = new Map<string, SeriesId>()
  for (let afterId = 0; ;) {
    const page = await metrics.listSeries(scope, { sourceId, afterId, limit: PAGE })
    for (const series of page) ids.set(canonicalKey(series), series.id)
    if (page.length < PAGE) return ids
    afterId = page.at(-1)!.id
  }
}

/** Which points of a batch have another value than what is stored at their instant: index and what is stored. */
export async function findConflicts(
  { metrics, context, source, signal }: Pick<MetricsRun, 'metrics' | 'context' | 'source' | 'signal'>,
  { keys, series, timesMs, values }: PointBatch,
): Promise<[index: number, stored: number][]> {
  const scope = { tenantId: context.tenantId }
  const ids = await seriesIds(metrics, scope, source.id)
  const indexes = Map.groupBy(series.keys(), (at) => series[at]!)
  const conflicts: [number, number][] = []
  for (const [key, points] of indexes) {
    const times = points.map((at) => timesMs[at]!)
    const range = {
      fromMs: times.reduce((a, b) => Math.min(a, b)),
      toMs: times.reduce((a, b) => Math.max(a, b)) + 1,
    }
    const stored = new Map<number, number>()
    for await (const part of metrics.scan(scope, [ids.get(canonicalKey(keys[key]!))!], range, signal))
      for (let at = 0; at < part.timesMs.length; at++)
        stored.set(Math.round(part.timesMs[at]! * 1000), part.values[at]!)
    for (const at of points) {
      const there = stored.get(Math.round(timesMs[at]! * 1000))
      if (there !== undefined && !Object.is(there + 0, values[at]! + 0)) conflicts.push([at, there])
    }
  }
  return conflicts.toSorted(([a], [b]) => a - b)
}
