import { Type } from 'typebox'
import type { TenantScope } from '../../src/access/tenant-scope.ts'
import type { Freshness } from '../../src/database/position.ts'
import { ALL_POINTS, pointsTag } from '../../src/store/point-tags.ts'
import type { Store } from '../../src/store/store.ts'

const SERIES = 50
const STEP_MS = 60_000
const START_MS = 1_700_000_000_000
const BATCH = 50_000
const Sums = Type.Array(
  Type.Object({ startMs: Type.Number(), sum: Type.Union([Type.Number(), Type.Null()]) }),
)

/** A dataset of fifty series with a point each minute; answers its id. */
export async function fillDataset(
  store: Store,
  scope: TenantScope,
  points: number,
  signal: AbortSignal,
): Promise<string> {
  const { value: dataset } = await store.transaction(scope, (unit) =>
    unit.datasets.create({ name: 'bench', description: '', retention: 'forever' }),
  )
  const source = { kind: 'dataset', id: dataset.id, retention: dataset.retention } as const
  const keys = Array.from({ length: SERIES }, (_, index) => ({
    metric: 'requests',
    tags: { host: `web-${index}` },
  }))
  for (let first = 0; first < points; first += BATCH) {
    const count = Math.min(BATCH, points - first)
    const index = Array.from({ length: count }, (_, offset) => first + offset)
    await store.metrics.append(
      scope,
      {
        source,
        keys,
        series: Uint32Array.from(index, (each) => each % SERIES),
        timesMs: Float64Array.from(index, (each) => START_MS + Math.floor(each / SERIES) * STEP_MS),
        values: Float64Array.from(index, (each) => Math.sin(each) * 100),
      },
      signal,
    )
  }
  return dataset.id
}

/** All points of the dataset, summed up by hour and over all series, as a panel asks for it; answers how many hours there are. */
export async function readAggregate(
  store: Store,
  scope: TenantScope,
  sourceId: string,
  how: 'cached' | 'uncached',
  onLoad?: () => void,
): Promise<number> {
  const load = async (freshness: Freshness): Promise<{ startMs: number; sum: number | null }[]> => {
    onLoad?.()
    const buckets = store.metrics.query(scope, {
      series: { sourceId },
      range: { fromMs: 0, toMs: 4_000_000_000_000 },
      bucket: { seconds: 3_600 },
      groupBy: 'all',
      freshness,
    })
    const sums: { startMs: number; sum: number | null }[] = []
    for await (const { startMs, sum } of buckets) sums.push({ startMs, sum })
    return sums
  }
  if (how === 'uncached') return (await load('latest')).length
  const sums = await store.cache.read(scope, {
    key: 'bench aggregate',
    tags: [ALL_POINTS, pointsTag(sourceId)],
    schema: Sums,
    freshness: 'latest',
    load,
  })
  return sums?.length ?? 0
}
