import type { TenantScope } from '../access/tenant-scope.ts'
import type { Detector } from '../detectors/detector.ts'
import type { Finding } from '../detection/series-monitor.ts'
import type { Job } from '../jobs/job.ts'
import type { Run } from '../jobs/run.ts'
import { type MonitorAtWork, observeGently, resumeMonitor, storedMonitor } from '../jobs/watch-series.ts'
import { POINT_LIMITS, type Series, type SeriesFilter } from '../metrics/metrics-engine.ts'
import type { Store } from '../store/store.ts'
import type { UnitOfWork } from '../store/unit-of-work.ts'

/** What a worker needs to know to take a job over its series. */
export interface RunContext {
  readonly store: Store
  readonly scope: TenantScope
  readonly job: Job
  readonly run: Run
  readonly detector: Detector
  readonly signal: AbortSignal
}

/** The run is over, or another worker's: this one stops without a trace. */
export class RunLost extends Error {}

/** Another worker has stored a state of one of these series meanwhile: what is here is out of date. */
export class SeriesTaken extends Error {}

/** Points between two commits: what a killed worker has to look at again, at most. */
const CHECKPOINT_POINTS = 20_000
const SERIES_PAGE = 500

/** A series on its way: the monitor, and what is not stored yet. */
interface Watched extends MonitorAtWork {
  readonly series: Series
  revision: number
  findings: Map<number, Finding>
  isChanged: boolean
  isDone: boolean
}

/** All series that a job watches, page by page. */
export async function* seriesOfJob(
  context: Pick<RunContext, 'store' | 'scope' | 'job'>,
): AsyncGenerator<Series[]> {
  const { store, scope, job } = context
  const filter: SeriesFilter = { sourceId: job.datasetId, limit: SERIES_PAGE, ...job.selector }
  let afterId = 0
  for (;;) {
    const page = await store.metrics.listSeries(scope, { ...filter, afterId })
    if (page.length > 0) yield page
    if (page.length < SERIES_PAGE) return
    afterId = page.at(-1)!.id
  }
}

/**
 * Takes the job's detector over the points of some series that it has not seen. Findings, states and counters are stored together,
 * so that wherever the worker dies, the next one continues exactly there.
 * @param mode `afresh`: from the first point, unless this run was here already; `continue`: from where the job stands, up to the newest
 * point that each series was listed with.
 * @throws RunLost, SeriesTaken.
 */
export async function advanceSeries(
  context: RunContext,
  series: readonly Series[],
  mode: 'afresh' | 'continue',
): Promise<void> {
  const { store, scope, signal } = context
  const watched = await resumeAll(context, series, mode)
  let pending = 0
  for (const one of watched) {
    const range = { fromMs: afterWatermark(one.monitor.watermarkMs), toMs: endOf(one.series, mode) }
    for await (const columns of store.metrics.scan(scope, [one.series.id], range, signal)) {
      for (const finding of await observeGently(one, columns)) one.findings.set(finding.startMs, finding)
      one.isChanged = true
      pending += columns.timesMs.length
      if (pending < CHECKPOINT_POINTS) continue
      await checkpoint(context, watched, pending)
      pending = 0
    }
    if (mode === 'afresh') one.isChanged = one.isDone = true
  }
  await checkpoint(context, watched, pending)
}

async function resumeAll(
  { store, scope, job, run, detector, signal }: RunContext,
  series: readonly Series[],
  mode: 'afresh' | 'continue',
): Promise<Watched[]> {
  const ids = series.map(({ id }) => id)
  const stored = await store.read(scope, 'latest', signal).detectorStates.find(job.id, ids)
  return series.flatMap((one) => {
    const state = stored.get(one.id)
    const isOurs = state !== undefined && (mode === 'continue' || state.runId === run.id)
    if (isOurs && mode === 'afresh' && state.done) return []
    const revision = state?.revision ?? 0
    const beginning = `${run.id} ${revision}`
    return {
      ...resumeMonitor(detector, isOurs ? state.state : undefined, beginning),
      series: one,
      revision,
      findings: new Map<number, Finding>(),
      isChanged: false,
      isDone: false,
    }
  })
}

/** Stores everything that is new, in one transaction. */
async function checkpoint(
  context: RunContext,
  watched: readonly Watched[],
  pointsScanned: number,
): Promise<void> {
  const { store, scope, job, run, detector, signal } = context
  const changed = watched.filter(({ isChanged }) => isChanged)
  if (changed.length === 0) return
  await store.transaction(
    scope,
    async (unit) => {
      const states = changed.map((one) => ({
        seriesId: one.series.id,
        runId: run.id,
        after: one.revision,
        watermarkMs: one.monitor.watermarkMs,
        state: storedMonitor(detector, one),
        done: one.isDone,
      }))
      if (!(await unit.detectorStates.replaceAll(job.id, states))) throw new SeriesTaken()
      let anomaliesFound = 0
      for (const one of changed) anomaliesFound += await recordFindings(unit, context, one)
      const seriesDone = changed.filter(({ isDone }) => isDone).length
      const isHeld = await unit.runs.advance(run, { pointsScanned, anomaliesFound, seriesDone })
      if (!isHeld) throw new RunLost()
    },
    signal,
  )
  for (const one of changed) {
    one.revision += 1
    one.findings = new Map()
    one.isChanged = false
  }
}

/** @returns how many are new. */
async function recordFindings(
  unit: UnitOfWork,
  { job, run, detector }: RunContext,
  one: Watched,
): Promise<number> {
  const { series, monitor, findings, isDone } = one
  const source = {
    jobId: job.id,
    runId: run.id,
    datasetId: job.datasetId,
    seriesId: series.id,
    metric: series.metric,
    tags: series.tags,
    algorithm: monitor.choice?.algorithm ?? detector.algorithm,
  }
  const { opened, updated } = await unit.anomalies.record(source, [...findings.values()])
  for (const id of opened) await unit.outbox.add('anomaly', { id, change: 'opened' })
  for (const id of updated) await unit.outbox.add('anomaly', { id, change: 'updated' })
  if (isDone) await unit.anomalies.endOthers(source)
  return opened.length
}

/** The first instant after a point, in microseconds as the database keeps them. */
export function afterWatermark(watermarkMs: number | undefined): number {
  return watermarkMs === undefined ? POINT_LIMITS.minTimeMs : (Math.round(watermarkMs * 1000) + 1) / 1000
}

/** Points beyond the newest one that was known may still have older ones on their way beside them. */
function endOf(series: Series, mode: 'afresh' | 'continue'): number {
  return mode === 'continue' && series.latestMs !== undefined
    ? afterWatermark(series.latestMs)
    : POINT_LIMITS.maxTimeMs
}
