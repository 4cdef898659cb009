import { explodingField } from '../metrics/series-limit.ts'
import type { SeriesKey } from '../metrics/metrics-engine.ts'
import { canonicalKey } from '../metrics/series-key.ts'
import type { ParsedChunk } from './parsed-points.ts'

/** What a sample of points is like. */
export interface PointSurvey {
  readonly points: number
  readonly series: number
  /** From one point of a series to the next: the median over series; left out where no series has points at two times. */
  readonly everySeconds?: number
  /** Mean length of a metric with its tags, in bytes. */
  readonly nameBytes: number
  /** What makes new series all the time, where they grow with the rows. */
  readonly exploding?: { readonly field: string; readonly values: number }
  readonly rejectedTotal: number
}

interface SeriesSpan {
  readonly key: SeriesKey
  points: number
  firstMs: number
  lastMs: number
}

/** Of the series of a sample, so many that begin in the second half of its time say that there are ever more. */
const GROWING_SHARE = 0.25
/** Below it nothing can be told. */
const FEW_SERIES = 50

/** Counts the series of a sample, and how far its points are apart; holds an entry for each series, nothing of the points. */
export async function surveyPoints(chunks: AsyncIterable<ParsedChunk>): Promise<PointSurvey> {
  const spans = new Map<string, SeriesSpan>()
  let points = 0
  let rejectedTotal = 0
  for await (const chunk of chunks) {
    rejectedTotal += chunk.rejectedTotal
    const { keys, series, timesMs } = chunk.points
    const local: SeriesSpan[] = []
    for (let i = 0; i < timesMs.length; i++) {
      const index = series[i]!
      const span = (local[index] ??= spanOf(spans, keys[index]!))
      span.points++
      span.firstMs = Math.min(span.firstMs, timesMs[i]!)
      span.lastMs = Math.max(span.lastMs, timesMs[i]!)
    }
    points += timesMs.length
  }
  const all = [...spans.values()]
  const nameBytes = [...spans.keys()].reduce((sum, name) => sum + Buffer.byteLength(name), 0)
  const everySeconds = medianStep(all)
  return {
    points,
    series: all.length,
    ...(everySeconds === undefined ? {} : { everySeconds }),
    nameBytes: all.length === 0 ? 0 : Math.round(nameBytes / all.length),
    ...(isGrowing(all) ? { exploding: explodingField(all.map(({ key }) => key)) } : {}),
    rejectedTotal,
  }
}

/** Series that stay begin where the sample does, in whatever order its rows are. */
function isGrowing(all: readonly SeriesSpan[]): boolean {
  if (all.length < FEW_SERIES) return false
  const fromMs = all.reduce((first, span) => Math.min(first, span.firstMs), Number.POSITIVE_INFINITY)
  const toMs = all.reduce((last, span) => Math.max(last, span.lastMs), Number.NEGATIVE_INFINITY)
  const late = all.filter((span) => span.firstMs > (fromMs + toMs) / 2).length
  return late >= all.length * GROWING_SHARE
}

function spanOf(spans: Map<string, SeriesSpan>, key: SeriesKey): SeriesSpan {
  const name = canonicalKey(key)
  const known = spans.get(name)
  if (known !== undefined) return known
  const span = { key, points: 0, firstMs: Number.POSITIVE_INFINITY, lastMs: Number.NEGATIVE_INFINITY }
  spans.set(name, span)
  return span
}

function medianStep(all: readonly SeriesSpan[]): number | undefined {
  const steps = all
    .filter((span) => span.points > 1 && span.lastMs > span.firstMs)
    .map((span) => (span.lastMs - span.firstMs) / (span.points - 1) / 1000)
    .toSorted((a, b) => a - b)
  return steps[Math.floor(steps.length / 2)]
}
