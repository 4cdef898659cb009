import type { SeriesKey } from '../../src/metrics/metrics-engine.ts'
import type { TestNomaly } from '../support/nomaly.ts'

/** When the points of these tests begin. */
export const START = Date.UTC(2026, 0, 1)

const EVERYTHING = { fromMs: 0, toMs: 4_102_444_800_001 }

/** A point by what names it. */
export type Point = readonly [key: SeriesKey, timeMs: number, value: number]

let made = 0

/** A dataset with these points. */
export async function makeDataset(
  nomaly: TestNomaly,
  some: readonly Point[] = [],
): Promise<{ id: string; name: string }> {
  const { body } = await nomaly.request('POST', '/v1/datasets', { body: { name: `export-${(made += 1)}` } })
  if (some.length > 0)
    await nomaly.store.metrics.append(nomaly.tenant, {
      source: { kind: 'dataset', id: body.id, retention: 'forever' },
      keys: some.map(([key]) => key),
      series: Uint32Array.from(some.keys()),
      timesMs: Float64Array.from(some, ([, timeMs]) => timeMs),
      values: Float64Array.from(some, ([, , value]) => value),
    })
  return body
}

/** One long series, and where it is stored. */
export async function makeLong(nomaly: TestNomaly, count: number): Promise<{ id: string; name: string }> {
  const dataset = await makeDataset(nomaly)
  await nomaly.store.metrics.append(nomaly.tenant, {
    source: { kind: 'dataset', id: dataset.id, retention: 'forever' },
    keys: [
      { metric: 'long', tags: { host: 'a' } },
      { metric: 'short', tags: { host: 'b' } },
    ],
    series: Uint32Array.from({ length: count }, (_, i) => (i === count - 1 ? 1 : 0)),
    // A third of a millisecond apart: fractions that no binary number is exactly.
    timesMs: Float64Array.from({ length: count }, (_, i) => START + Math.round((i * 1000) / 3) / 1000),
    values: Float64Array.from({ length: count }, (_, i) => i),
  })
  return dataset
}

/** All points of a dataset as texts that are equal where the points are. */
export async function stored(nomaly: TestNomaly, datasetId: string): Promise<string[]> {
  const series = await nomaly.store.metrics.listSeries(nomaly.tenant, { sourceId: datasetId, limit: 10_000 })
  const byId = new Map(series.map((one) => [one.id, one]))
  const found: string[] = []
  const ids = series.map(({ id }) => id)
  for await (const run of nomaly.store.metrics.scan(nomaly.tenant, ids, EVERYTHING))
    for (const [i, timeMs] of run.timesMs.entries())
      found.push(describePoint([byId.get(run.seriesId)!, timeMs, run.values[i]!]))
  return found.toSorted()
}

/** A text that is equal where points are. */
export function describePoint([{ metric, tags }, timeMs, value]: Point): string {
  const names = Object.entries(tags).toSorted(([a], [b]) => (a < b ? -1 : 1))
  return JSON.stringify([metric, names, Math.round(timeMs * 1000), String(value)])
}
