import type { TenantScope } from '../access/tenant-scope.ts'
import type { Store } from '../store/store.ts'
import { advanceSeries, type RunContext, RunLost, seriesOfJob } from './advance-series.ts'
import { finishRun, isPassing } from './run-detection.ts'

export interface AdvanceStreamOptions {
  readonly store: Store
  readonly scope: TenantScope
  readonly jobId: string
  readonly workerId: string
  readonly signal: AbortSignal
}

/**
 * Takes a streaming job over the points that have come since it last looked. Its run stays open from start to pause.
 * May be called at any time and by several workers at once: a series belongs to whoever stores its state first.
 */
export async function advanceStream(options: AdvanceStreamOptions): Promise<void> {
  const { store, scope, signal } = options
  const opened = await openStream(options)
  if (opened === undefined) return
  const context: RunContext = { store, scope, signal, ...opened }
  try {
    const progress = await store.read(scope, 'latest').detectorStates.progress(context.job.id)
    let seriesTotal = 0
    for await (const page of seriesOfJob(context)) {
      seriesTotal += page.length
      for (const series of page) {
        const watermarkMs = progress.get(series.id)?.watermarkMs ?? -Infinity
        if (series.latestMs === undefined || series.latestMs <= watermarkMs) continue
        signal.throwIfAborted()
        await advanceSeries(context, series, 'continue').catch((error: unknown) => {
          // Another worker was faster with this series, or the run is over; the next look finds out which.
          if (!(error instanceof RunLost)) throw error
        })
      }
    }
    if (seriesTotal !== context.run.seriesTotal)
      await store.transaction(scope, (unit) => unit.runs.setSeriesTotal(context.run.id, seriesTotal, seriesTotal))
  } catch (error) {
    if (signal.aborted) return
    if (isPassing(error)) throw error
    await finishRun(context, 'failed', error)
    throw error
  }
}

async function openStream(
  options: AdvanceStreamOptions,
): Promise<Pick<RunContext, 'job' | 'run' | 'detector'> | undefined> {
  const { store, scope, jobId, workerId } = options
  const latest = store.read(scope, 'latest')
  const job = await latest.jobs.find(jobId)
  if (job === undefined || (job.status !== 'pending' && job.status !== 'running')) return undefined
  const detector = await latest.detectors.get(job.detectorId)
  const open = await latest.runs.findOpen(jobId)
  if (open?.status === 'running') return { job, detector, run: open }
  const { value: run } = await store.transaction(scope, async (unit) => {
    const pending = open ?? (await unit.runs.create(jobId))
    const claimed = pending === undefined ? undefined : await unit.runs.claim(pending.id, workerId)
    if (claimed === undefined) return undefined
    await unit.jobs.follow(jobId, 'running')
    await unit.outbox.add('job', { id: jobId, status: 'running' })
    return claimed
  })
  return run === undefined ? undefined : { job, detector, run }
}
