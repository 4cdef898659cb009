import { normal } from '../detection/synthetic-series.ts'
import { uniform } from '../support/random.ts'

/** One series of generated data. */
export interface GeneratedSeries {
  readonly metric: string
  readonly tags: Readonly<Record<string, string>>
  readonly timesMs: readonly number[]
  readonly values: readonly number[]
}

/** One request of a load: NDJSON, and what is in it as `metric tags time` to value. */
export interface LoadRequest {
  readonly body: string
  readonly points: ReadonlyMap<string, number>
}

const START_MS = Date.UTC(2025, 2, 3)
const SPAN_MS = 35 * 86_400_000

/** A long series, which takes several checkpoints, and short ones beside it over the same five weeks, all with incidents. */
export function generateData(seed: number): GeneratedSeries[] {
  const random = uniform(seed)
  const long = generateSeries(seed, 'requests', { service: 'shop' }, 55_000 + Math.floor(random() * 3_000))
  const short = Array.from({ length: 5 }, (_, index) =>
    generateSeries(
      seed + 1 + index,
      'latency_ms',
      { service: 'shop', zone: `z${index}` },
      1_500 + Math.floor(random() * 1_000),
    ),
  )
  return [long, ...short]
}

function generateSeries(
  seed: number,
  metric: string,
  tags: Readonly<Record<string, string>>,
  count: number,
): GeneratedSeries {
  const random = uniform(seed * 7919)
  const noise = normal(seed * 104_729)
  const stepMs = Math.floor(SPAN_MS / count)
  const timesMs = Array.from({ length: count }, (_, index) => START_MS + index * stepMs)
  const incidents = Array.from({ length: 6 }, () => ({
    start: Math.floor((0.15 + 0.8 * random()) * count),
    length: 1 + Math.floor(random() * 30),
    height: (random() < 0.5 ? -1 : 1) * (80 + 120 * random()),
  }))
  const values = timesMs.map((timeMs, index) => {
    const season = 40 * Math.sin((timeMs / 86_400_000) * 2 * Math.PI)
    const incident = incidents.find(({ start, length }) => index >= start && index < start + length)
    return 200 + season + 5 * noise() + (incident?.height ?? 0)
  })
  return { metric, tags, timesMs, values }
}

/** Names a point, whatever the order of the tags. */
export function pointKey({ metric, tags }: Pick<GeneratedSeries, 'metric' | 'tags'>, timeMs: number): string {
  return `${metric} ${JSON.stringify(Object.entries(tags).toSorted(([a], [b]) => (a < b ? -1 : 1)))} ${timeMs}`
}

/** Cuts data into requests of about the same size: slices of time over all series, in order. */
export function toRequests(data: readonly GeneratedSeries[], count: number): LoadRequest[] {
  const sliceMs = Math.ceil(SPAN_MS / count)
  const bodies = Array.from({ length: count }, () => [] as string[])
  const points = Array.from({ length: count }, () => new Map<string, number>())
  for (const series of data)
    for (const [index, timeMs] of series.timesMs.entries()) {
      const slice = Math.floor((timeMs - START_MS) / sliceMs)
      const value = series.values[index]!
      bodies[slice]!.push(JSON.stringify({ time: timeMs, metric: series.metric, tags: series.tags, value }))
      points[slice]!.set(pointKey(series, timeMs), value)
    }
  return bodies.map((lines, index) => ({ body: lines.join('\n'), points: points[index]! }))
}
