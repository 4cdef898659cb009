import { readFindings, type RecordedFinding, recordedFinding } from '../anomalies/recorded-findings.ts'
import type { Connection } from '../database/connection.ts'
import type { Database } from '../database/database.ts'
import type { Finding, SeriesMonitor } from '../detection/series-monitor.ts'
import { readStretches, type RecordedStretch, type StretchPlace } from '../jobs/detector-snapshots.ts'
import { SeenCounter, seenBetween } from '../jobs/seen-points.ts'
import { observeGently, rebuildMonitor } from '../jobs/watch-series.ts'
import type { MetricsEngine } from '../metrics/metrics-engine.ts'
import { afterWatermark } from './advance-series.ts'

export interface GoldenHourOptions {
  readonly database: Database
  readonly metrics: MetricsEngine
  readonly signal: AbortSignal
  /** Points that are replayed, at most; what is left then is counted as left out. */
  readonly maxPoints?: number
  /** How a monitor is made of a state, or, without a state, anew; for tests. */
  readonly rebuild?: typeof rebuildMonitor
  readonly progress?: (points: number) => void
}

/** A stretch that was not replayed as it was recorded, and a sentence on what is different. */
export interface Deviation {
  readonly jobId: string
  readonly jobName: string
  readonly seriesId: number
  readonly says: string
}

/** What the replay of recorded runs has shown. */
export interface GoldenHour {
  /** Series that were replayed and gave exactly what is recorded. */
  readonly identical: number
  /** Points and findings of those. */
  readonly points: number
  readonly findings: number
  /** From the first to the last point that was replayed, epoch milliseconds. */
  readonly fromMs: number | undefined
  readonly toMs: number | undefined
  /** Not all points that the detector has seen are there, or others are: something was lost. The first hundred. */
  readonly lost: readonly Deviation[]
  /** The same points gave other findings. The first hundred. */
  readonly changed: readonly Deviation[]
  readonly lostTotal: number
  readonly changedTotal: number
  /** Series into which points came late, behind the detector: there is more than it has seen, and nothing to compare. */
  readonly late: number
  /** Series whose states this version does not read. */
  readonly unreadable: number
  /** Series beyond the limit of points. */
  readonly leftOut: number
}

const PAGE = 50
const LISTED = 100
const MAX_POINTS = 5_000_000

type Outcome =
  | {
      readonly kind: 'identical'
      readonly points: number
      readonly findings: number
      readonly fromMs: number
      readonly toMs: number
    }
  | { readonly kind: 'lost' | 'changed'; readonly says: string }
  | { readonly kind: 'late' | 'unreadable' | 'at rest' }

/**
 * Replays what detectors did lately: from the states that were set aside, over the points that are there now, and compares what they find, and
 * the state they come to, with what is recorded. Changes nothing.
 */
export async function replayGoldenHour(options: GoldenHourOptions): Promise<GoldenHour> {
  const { database, signal, maxPoints = MAX_POINTS, progress = () => {} } = options
  const hour = { identical: 0, points: 0, findings: 0, late: 0, unreadable: 0, leftOut: 0 }
  const deviations: Record<'lost' | 'changed', Deviation[]> = { lost: [], changed: [] }
  const totals = { lost: 0, changed: 0 }
  let [fromMs, toMs, replayed] = [Infinity, -Infinity, 0]
  let last: StretchPlace | undefined
  for (;;) {
    const page = await asSystem(database, signal, (connection) => readStretches(connection, last, PAGE))
    for (const stretch of page) {
      signal.throwIfAborted()
      const { points } = seenBetween(stretch.from?.state.seen, stretch.to.state.seen)
      if (replayed + points > maxPoints) {
        hour.leftOut += 1
        continue
      }
      replayed += points
      const outcome = await replay(options, stretch)
      progress(replayed)
      if (outcome.kind === 'identical') {
        hour.identical += 1
        hour.points += outcome.points
        hour.findings += outcome.findings
        fromMs = Math.min(fromMs, outcome.fromMs)
        toMs = Math.max(toMs, outcome.toMs)
      } else if (outcome.kind === 'lost' || outcome.kind === 'changed') {
        const { jobId, jobName, seriesId } = stretch
        totals[outcome.kind] += 1
        const list = deviations[outcome.kind]
        if (list.length < LISTED) list.push({ jobId, jobName, seriesId, says: outcome.says })
      } else if (outcome.kind !== 'at rest') hour[outcome.kind] += 1
    }
    if (page.length < PAGE) break
    last = page.at(-1)
  }
  return {
    ...hour,
    fromMs: Number.isFinite(fromMs) ? fromMs : undefined,
    toMs: Number.isFinite(toMs) ? toMs : undefined,
    ...deviations,
    lostTotal: totals.lost,
    changedTotal: totals.changed,
  }
}

async function replay(options: GoldenHourOptions, stretch: RecordedStretch): Promise<Outcome> {
  const { rebuild = rebuildMonitor } = options
  const { from, to } = stretch
  if (to.watermarkMs === undefined) return { kind: 'at rest' }
  let monitor: SeriesMonitor
  try {
    monitor = rebuild(to.state.settings, from?.state.snapshot)
  } catch {
    return { kind: 'unreadable' }
  }
  const seen = SeenCounter.begin('')
  const found = new Map<number, Finding>()
  let [firstMs, lastMs, received] = [Infinity, -Infinity, 0]
  const range = { fromMs: afterWatermark(from?.watermarkMs), toMs: afterWatermark(to.watermarkMs) }
  const scope = { tenantId: stretch.tenantId }
  for await (const columns of options.metrics.scan(scope, [stretch.seriesId], range, options.signal)) {
    for (const finding of await observeGently({ monitor, seen }, columns)) found.set(finding.startMs, finding)
    firstMs = Math.min(firstMs, columns.timesMs[0]!)
    lastMs = columns.timesMs.at(-1)!
    received += columns.timesMs.length
  }
  const expected = seenBetween(from?.state.seen, to.state.seen)
  const { points, sum } = seen.seen
  if (points > expected.points) return { kind: 'late' }
  if (points < expected.points)
    return {
      kind: 'lost',
      says: `The detector has seen ${expected.points} points there; ${points} are left.`,
    }
  if (sum !== expected.sum)
    return {
      kind: 'lost',
      says: `${points} points are there, but they are not those that the detector has seen.`,
    }
  if (points === 0) return { kind: 'at rest' }
  const says = await compare(options, stretch, found)
  if (says !== undefined) return { kind: 'changed', says }
  // Points that are not finite may have been given to it more than once, and it counts them.
  const { version, numbers, singles, briefs } = to.state.snapshot
  const end = monitor.snapshot()
  const isSame =
    received > points ||
    (end.version === version && end.numbers === numbers && end.singles === singles && end.briefs === briefs)
  if (!isSame)
    return { kind: 'changed', says: 'The findings are the same, but the detector has learnt something else.' }
  return { kind: 'identical', points, findings: found.size, fromMs: firstMs, toMs: lastMs }
}

/** A sentence on the first finding that is not the same; `undefined` where all are. */
async function compare(
  { database, signal }: GoldenHourOptions,
  stretch: RecordedStretch,
  found: ReadonlyMap<number, Finding>,
): Promise<string | undefined> {
  const { jobId, seriesId, runId, from } = stretch
  const recorded = await asSystem(database, signal, (connection) =>
    readFindings(connection, {
      jobId,
      seriesId,
      starts: [...found.keys()],
      runId,
      sinceMs: from?.writtenAtMs,
    }),
  )
  const byStart = new Map(recorded.map((one) => [one.startedAt, one]))
  for (const finding of found.values()) {
    const replayed = recordedFinding(finding)
    const there = byStart.get(replayed.startedAt)
    if (there === undefined)
      return `The finding of ${sayTime(finding.startMs)} is found again, and is not recorded.`
    byStart.delete(replayed.startedAt)
    const field = (Object.keys(replayed) as (keyof RecordedFinding)[]).find(
      (key) => replayed[key] !== there[key],
    )
    if (field !== undefined)
      return `The finding of ${sayTime(finding.startMs)} has another ${field}: ${there[field]} is recorded, ${replayed[field]} is found.`
  }
  const [missing] = [...byStart.values()].filter(({ isNew }) => isNew)
  return (
    missing &&
    `The finding of ${sayTime(Number(missing.startedAt) / 1000)} is recorded, and is not found again.`
  )
}

function sayTime(epochMs: number): string {
  return new Date(epochMs).toISOString()
}

function asSystem<T>(
  database: Database,
  signal: AbortSignal,
  work: (connection: Connection) => Promise<T>,
): Promise<T> {
  return database.read({ role: 'nomaly_system', freshness: 'latest', signal }, work)
}
