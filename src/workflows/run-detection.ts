import type { TenantScope } from '../access/tenant-scope.ts'
import { NomalyError } from '../errors.ts'
import type { Store } from '../store/store.ts'
import { advanceSeries, type RunContext, RunLost, seriesOfJob, SeriesTaken } from './advance-series.ts'

/** How often a run is taken up again after failures that may pass by themselves. */
const MAX_ATTEMPTS = 10
const PROGRESS_INTERVAL_MS = 500

export interface RunDetectionOptions {
  readonly store: Store
  readonly scope: TenantScope
  readonly runId: string
  readonly workerId: string
  readonly signal: AbortSignal
}

/**
 * Executes a run: every series of the job, from the start for a job that runs once, from where the last run ended for a scheduled one.
 * May be called again for the same run, by any worker, and at the same time: what is done is not done again.
 */
export async function runDetection(options: RunDetectionOptions): Promise<void> {
  const { store, scope, signal } = options
  // While these are away, taking the run would only use its attempts up.
  await store.requireMetrics(signal)
  const claimed = await claimRun(options)
  if (claimed === undefined) return
  const context: RunContext = { store, scope, signal, ...claimed }
  try {
    await advanceAllSeries(context)
    await finishRun(context, 'completed')
  } catch (error) {
    if (error instanceof RunLost) return
    // Told to stop: the task goes back to the queue, and whoever takes it up continues from the last checkpoint.
    if (signal.aborted) throw error
    // The worker that had the run before has stored one last state: with this attempt it can store no more.
    if (error instanceof SeriesTaken || (isPassing(error) && context.run.attempt < MAX_ATTEMPTS)) throw error
    await finishRun(context, 'failed', error)
  }
}

async function claimRun({
  store,
  scope,
  runId,
  workerId,
}: RunDetectionOptions): Promise<Pick<RunContext, 'job' | 'run' | 'detector'> | undefined> {
  const { jobId } = await store.read(scope, 'latest').runs.get(runId)
  const { value } = await store.transaction(scope, async (unit) => {
    const job = await unit.jobs.lock(jobId)
    const run = await unit.runs.claim(runId, workerId)
    if (run === undefined) return undefined
    await unit.jobs.follow(job.id, 'running')
    await unit.outbox.add('job', { id: job.id, status: 'running' })
    return { run, job, detector: await unit.detectors.get(job.detectorId) }
  })
  return value
}

async function advanceAllSeries(context: RunContext): Promise<void> {
  const { store, scope, run, job } = context
  const mode = job.schedule.kind === 'once' ? 'afresh' : 'continue'
  const progress = await store.read(scope, 'latest').detectorStates.progress(job.id)
  const series = (await Array.fromAsync(seriesOfJob(context))).flat()
  await store.metrics.settled(job.datasetId, context.signal)
  const left = series.filter(({ id, latestMs }) => {
    const state = progress.get(id)
    if (mode === 'afresh') return !(state?.runId === run.id && state.done)
    return latestMs !== undefined && latestMs > (state?.watermarkMs ?? -Infinity)
  })
  const before = series.length - left.length
  await store.transaction(scope, (unit) => unit.runs.setSeriesTotal(run, series.length, before))
  let toldAtMs = 0
  for (const [index, one] of left.entries()) {
    await advanceSeries(context, [one], mode)
    if (mode === 'continue') await countSeries(context)
    if (performance.now() - toldAtMs < PROGRESS_INTERVAL_MS) continue
    toldAtMs = performance.now()
    await tellProgress(context, before + index + 1, series.length)
  }
}

async function countSeries({ store, scope, run }: RunContext): Promise<void> {
  const nothing = { pointsScanned: 0, anomaliesFound: 0, seriesDone: 1 }
  const { value: isHeld } = await store.transaction(scope, (unit) => unit.runs.advance(run, nothing))
  if (!isHeld) throw new RunLost()
}

async function tellProgress(
  { store, scope, run }: RunContext,
  seriesDone: number,
  seriesTotal: number,
): Promise<void> {
  await store.transaction(scope, (unit) =>
    unit.outbox.add('run', { id: run.id, jobId: run.jobId, status: 'running', seriesDone, seriesTotal }),
  )
}

/** Ends a run and moves its job on: a scheduled one waits for its next time, one that runs once ends with it. */
export async function finishRun(
  { store, scope, run, job }: Pick<RunContext, 'store' | 'scope' | 'run' | 'job'>,
  status: 'completed' | 'failed',
  error?: unknown,
): Promise<void> {
  await store.transaction(scope, async (unit) => {
    await unit.jobs.lock(job.id)
    const isEnded = await unit.runs.finish(run, status, error === undefined ? undefined : describe(error))
    if (!isEnded) return
    await unit.jobs.follow(job.id, job.schedule.kind === 'cron' ? 'pending' : status)
    const { seriesDone, seriesTotal } = await unit.runs.get(run.id)
    await unit.outbox.add('run', { id: run.id, jobId: job.id, status, seriesDone, seriesTotal })
    // One that was paused or cancelled meanwhile has stayed so.
    await unit.outbox.add('job', { id: job.id, status: (await unit.jobs.get(job.id)).status })
  })
}

/** Whether an error may pass by itself, so that another attempt makes sense. */
export function isPassing(error: unknown): boolean {
  return error instanceof NomalyError && error.httpStatus >= 503
}

function describe(error: unknown): { message: string; hint: string | null } {
  if (error instanceof NomalyError) return { message: error.message, hint: error.hint ?? null }
  return {
    message: 'The run ended with an unexpected error.',
    hint: 'The log of the worker has the details; please report it.',
  }
}
