import type { TenantScope } from '../access/tenant-scope.ts'
import type { Series } from '../metrics/metrics-engine.ts'
import type { Store } from '../store/store.ts'
import { advanceSeries, type RunContext, RunLost, seriesOfJob, SeriesTaken } from './advance-series.ts'
import { finishRun, isPassing } from './run-detection.ts'

export interface AdvanceStreamOptions {
  readonly store: Store
  readonly scope: TenantScope
  readonly jobId: string
  readonly workerId: string
  readonly signal: AbortSignal
}

/** Series that are stored together: one transaction instead of a hundred where many have one new point each. */
const GROUP = 100

/** How often one task looks again after another worker was faster. */
const MAX_LOOKS = 20

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
    let look = await advanceBehind(context)
    // Who was faster may have been so before the newest points came, and leaves all others of the group to this worker.
    for (let looks = 1; look.wasTaken && looks < MAX_LOOKS; looks++) look = await advanceBehind(context)
    if (look.total !== context.run.seriesTotal)
      await store.transaction(scope, (unit) => unit.runs.setSeriesTotal(context.run, look.total, look.total))
  } catch (error) {
    if (error instanceof RunLost) return
    if (signal.aborted || isPassing(error)) throw error
    await finishRun(context, 'failed', error)
    throw error
  }
}

/** Takes the job over what it has not seen; `wasTaken` where another worker stored something of it first. */
async function advanceBehind(context: RunContext): Promise<{ total: number; wasTaken: boolean }> {
  const { store, job, signal } = context
  const { behind, total } = await findBehind(context)
  let wasTaken = false
  // Points older than the newest one may still be in transactions that began before it was seen.
  if (behind.length > 0) await store.metrics.settled(job.datasetId, signal)
  for (let start = 0; start < behind.length; start += GROUP) {
    signal.throwIfAborted()
    await advanceSeries(context, behind.slice(start, start + GROUP), 'continue').catch((error: unknown) => {
      if (!(error instanceof SeriesTaken)) throw error
      wasTaken = true
    })
  }
  return { total, wasTaken }
}

/** The series with points that the job has not seen, and how many series it watches. */
async function findBehind(context: RunContext): Promise<{ behind: Series[]; total: number }> {
  const { store, scope, job } = context
  const progress = await store.read(scope, 'latest').detectorStates.progress(job.id)
  const behind: Series[] = []
  let total = 0
  for await (const page of seriesOfJob(context)) {
    total += page.length
    for (const series of page) {
      const watermarkMs = progress.get(series.id)?.watermarkMs ?? -Infinity
      if (series.latestMs !== undefined && series.latestMs > watermarkMs) behind.push(series)
    }
  }
  return { behind, total }
}

async function openStream(
  options: AdvanceStreamOptions,
): Promise<Pick<RunContext, 'job' | 'run' | 'detector'> | undefined> {
  const { store, scope, jobId, workerId } = options
  const latest = store.read(scope, 'latest')
  const job = await latest.jobs.find(jobId)
  if (job === undefined || !isAtWork(job.status)) return undefined
  const detector = await latest.detectors.get(job.detectorId)
  const open = await latest.runs.findOpen(jobId)
  if (open?.status === 'running') return { job, detector, run: open }
  const { value: run } = await store.transaction(scope, async (unit) => {
    const { status } = await unit.jobs.lock(jobId)
    if (!isAtWork(status)) return undefined
    const pending = (await unit.runs.findOpen(jobId)) ?? (await unit.runs.create(jobId))
    const claimed = pending === undefined ? undefined : await unit.runs.claim(pending.id, workerId)
    if (claimed === undefined) return undefined
    await unit.jobs.follow(jobId, 'running')
    await unit.outbox.add('job', { id: jobId, status: 'running' })
    return claimed
  })
  return run === undefined ? undefined : { job, detector, run }
}

function isAtWork(status: string): boolean {
  return status === 'pending' || status === 'running'
}
