import type { TenantScope } from '../access/tenant-scope.ts'
import type { Freshness } from '../database/position.ts'
import { SeriesMonitor } from '../detection/series-monitor.ts'
import type { Job } from '../jobs/job.ts'
import { POINT_LIMITS, type TimeRange } from '../metrics/metrics-engine.ts'
import type { Store } from '../store/store.ts'

/** What a job's detector expected at each point of a range; `null` where it was still learning. */
export interface Band {
  readonly detector: { readonly algorithm: string; readonly reason: string } | null
  readonly timesMs: number[]
  readonly expected: (number | null)[]
  readonly lower: (number | null)[]
  readonly upper: (number | null)[]
}

/** Points before the range that a replay starts from, at most: enough for every detector to have learnt. */
const MAX_LEARNING_POINTS = 200_000

/** Replays a job's detector over a series. The band is not stored: it is four times the size of the points, and seldom looked at. */
export async function replayBand(
  store: Store,
  scope: TenantScope,
  job: Job,
  seriesId: number,
  range: TimeRange,
  maxPoints: number,
  signal: AbortSignal,
  freshness?: Freshness,
): Promise<Band> {
  const detector = await store.read(scope, 'latest', signal).detectors.get(job.detectorId)
  const { algorithm, parameters, budget } = detector
  const monitor = new SeriesMonitor({ algorithm, parameters, budget })
  const before = { fromMs: POINT_LIMITS.minTimeMs, toMs: range.fromMs }
  const learning = await store.metrics.tail(scope, seriesId, before, MAX_LEARNING_POINTS, signal, freshness)
  await inSlices(learning.timesMs.length, signal, (start, end) => {
    monitor.observe(learning.timesMs.subarray(start, end), learning.values.subarray(start, end))
  })
  const shown = await store.metrics.tail(scope, seriesId, range, maxPoints, signal, freshness)
  const count = shown.timesMs.length
  const band = {
    timesMs: new Float64Array(count),
    expected: new Float64Array(count),
    lower: new Float64Array(count),
    upper: new Float64Array(count),
  }
  await inSlices(count, signal, (start, end) => {
    monitor.observeWithBand(shown.timesMs.subarray(start, end), shown.values.subarray(start, end), {
      timesMs: band.timesMs.subarray(start, end),
      expected: band.expected.subarray(start, end),
      lower: band.lower.subarray(start, end),
      upper: band.upper.subarray(start, end),
    })
  })
  return {
    detector: monitor.choice ?? null,
    timesMs: Array.from(band.timesMs),
    expected: Array.from(band.expected, orNull),
    lower: Array.from(band.lower, orNull),
    upper: Array.from(band.upper, orNull),
  }
}

/** Gives way to other work of the process between slices. */
async function inSlices(
  count: number,
  signal: AbortSignal,
  work: (start: number, end: number) => void,
): Promise<void> {
  for (let start = 0; start < count; start += 2_000) {
    signal.throwIfAborted()
    work(start, Math.min(count, start + 2_000))
    await new Promise(setImmediate)
  }
}

function orNull(value: number): number | null {
  return Number.isFinite(value) ? value : null
}
