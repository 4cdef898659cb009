import type { TenantScope } from '../access/tenant-scope.ts'
import type { Detector } from '../detectors/detector.ts'
import type { Finding } from '../detection/finding.ts'
import type { Job } from '../jobs/job.ts'
import type { Run } from '../jobs/run.ts'
import { observeGently, resumeMonitor, storedMonitor } from '../jobs/watch-series.ts'
import { POINT_LIMITS, type Series } from '../metrics/metrics-engine.ts'
import type { Store } from '../store/store.ts'

/** What a worker needs to know to take a job over its series. */
export interface RunContext {
  readonly store: Store
  readonly scope: TenantScope
  readonly job: Job
  readonly run: Run
  readonly detector: Detector
  readonly signal: AbortSignal
}

/** The run is somebody else's now, or over: this worker stops without a trace. */
export class RunLost extends Error {}

/** Points between two commits of a series: what a killed worker has to look at again, at most. */
const CHECKPOINT_POINTS = 20_000
const SERIES_PAGE = 500

/** All series that a job watches, page by page. */
export async function* seriesOfJob(context: Pick<RunContext, 'store' | 'scope' | 'job'>): AsyncGenerator<Series[]> {
  const { store, scope, job } = context
  let afterId: number | undefined
  for (;;) {
    const page = await store.metrics.listSeries(scope, {
      sourceId: job.datasetId,
      limit: SERIES_PAGE,
      ...(job.selector.metric === undefined ? {} : { metric: job.selector.metric }),
      ...(job.selector.tags === undefined ? {} : { tags: job.selector.tags }),
      ...(afterId === undefined ? {} : { afterId }),
    })
    if (page.length > 0) yield page
    if (page.length < SERIES_PAGE) return
    afterId = page.at(-1)!.id
  }
}

/**
 * Takes the job's detector over the points of one series that it has not seen. Findings, state and counters are stored together,
 * so that wherever the worker dies, the next one continues exactly there.
 * @throws RunLost when another worker has taken over, or the run was cancelled.
 */
export async function advanceSeries(context: RunContext, series: Series, mode: 'afresh' | 'continue'): Promise<void> {
  const { store, scope, job, run, detector, signal } = context
  const stored = await store.read(scope, 'latest', signal).detectorStates.find(job.id, series.id)
  const isOurs = stored !== undefined && (mode === 'continue' || stored.runId === run.id)
  if (isOurs && mode === 'afresh' && stored.done) return
  const monitor = resumeMonitor(detector, isOurs ? stored.state : undefined)
  let revision = stored?.revision ?? 0
  let findings = new Map<number, Finding>()
  let pending = 0

  const checkpoint = async (done: boolean): Promise<void> => {
    await store.transaction(
      scope,
      async (unit) => {
        const isStored = await unit.detectorStates.replace(job.id, revision, {
          seriesId: series.id,
          runId: run.id,
          watermarkMs: monitor.watermarkMs,
          state: storedMonitor(detector, monitor),
          done,
        })
        if (!isStored) throw new RunLost()
        const { opened, updated } = await unit.anomalies.record(
          {
            jobId: job.id,
            runId: run.id,
            datasetId: job.datasetId,
            seriesId: series.id,
            metric: series.metric,
            tags: series.tags,
            algorithm: monitor.choice?.algorithm ?? detector.algorithm,
          },
          [...findings.values()],
        )
        for (const id of opened) await unit.outbox.add('anomaly', { id, change: 'opened' })
        for (const id of updated) await unit.outbox.add('anomaly', { id, change: 'updated' })
        const isHeld = await unit.runs.advance(run, {
          pointsScanned: pending,
          anomaliesFound: opened.length,
          seriesDone: done ? 1 : 0,
        })
        if (!isHeld) throw new RunLost()
      },
      signal,
    )
    revision += 1
    findings = new Map()
    pending = 0
  }

  const range = { fromMs: afterWatermark(monitor.watermarkMs), toMs: POINT_LIMITS.maxTimeMs }
  for await (const columns of store.metrics.scan(scope, [series.id], range, signal)) {
    for (const finding of await observeGently(monitor, columns)) findings.set(finding.startMs, finding)
    pending += columns.timesMs.length
    if (pending >= CHECKPOINT_POINTS) await checkpoint(false)
  }
  if (mode === 'afresh' || pending > 0) await checkpoint(mode === 'afresh')
}

/** The first instant after a point, in microseconds as the database keeps them. */
function afterWatermark(watermarkMs: number | undefined): number {
  return watermarkMs === undefined ? POINT_LIMITS.minTimeMs : (Math.round(watermarkMs * 1000) + 1) / 1000
}

