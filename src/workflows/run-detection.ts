import type { TenantScope } from '../access/tenant-scope.ts'
import { NomalyError } from '../errors.ts'
import type { Run } from '../jobs/run.ts'
import type { Store } from '../store/store.ts'
import { advanceSeries, type RunContext, RunLost, seriesOfJob } from './advance-series.ts'

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
  const { store, scope, runId, workerId, signal } = options
  const claimed = await claimRun(store, scope, runId, workerId)
  if (claimed === undefined) return
  const context: RunContext = { store, scope, signal, ...claimed }
  try {
    await advanceAllSeries(context)
    await finishRun(context, 'completed')
  } catch (error) {
    if (error instanceof RunLost || signal.aborted) return
    if (isPassing(error) && context.run.attempt < MAX_ATTEMPTS) throw error
    await finishRun(context, 'failed', error)
  }
}

async function claimRun(
  store: Store,
  scope: TenantScope,
  runId: string,
  workerId: string,
): Promise<Pick<RunContext, 'job' | 'run' | 'detector'> | undefined> {
  const { value } = await store.transaction(scope, async (unit) => {
    const run = await unit.runs.claim(runId, workerId)
    if (run === undefined) return undefined
    const job = await unit.jobs.get(run.jobId)
    await unit.jobs.follow(job.id, 'running')
    await unit.outbox.add('job', { id: job.id, status: 'running' })
    return { run, job, detector: await unit.detectors.get(job.detectorId) }
  })
  return value
}

async function advanceAllSeries(context: RunContext): Promise<void> {
  const { store, scope, run, job } = context
  const mode = job.schedule.kind === 'once' ? 'afresh' : 'continue'
  const done = new Set<number>()
  const progress = await store.read(scope, 'latest').detectorStates.progress(job.id)
  const pages = await Array.fromAsync(seriesOfJob(context))
  const series = pages.flat()
  for (const { id } of series) {
    const state = progress.get(id)
    if (mode === 'afresh' && state?.runId === run.id && state.done) done.add(id)
  }
  await store.transaction(scope, (unit) => unit.runs.setSeriesTotal(run.id, series.length, done.size))
  let toldAt = 0
  for (const one of series) {
    if (done.has(one.id)) continue
    const isNew = one.latestMs !== undefined && one.latestMs > (progress.get(one.id)?.watermarkMs ?? -Infinity)
    if (mode === 'afresh' || isNew) await advanceSeries(context, one, mode)
    if (mode === 'continue') await countSeries(context)
    done.add(one.id)
    if (Date.now() - toldAt < PROGRESS_INTERVAL_MS) continue
    toldAt = Date.now()
    await tellProgress(context, done.size, series.length)
  }
}

async function countSeries({ store, scope, run }: RunContext): Promise<void> {
  const nothing = { pointsScanned: 0, anomaliesFound: 0, seriesDone: 1 }
  const { value: isHeld } = await store.transaction(scope, (unit) => unit.runs.advance(run, nothing))
  if (!isHeld) throw new RunLost()
}

async function tellProgress({ store, scope, run }: RunContext, seriesDone: number, seriesTotal: number): Promise<void> {
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
    const isEnded = await unit.runs.finish(run.id, status, error === undefined ? undefined : describe(error))
    if (!isEnded) return
    const jobStatus = job.schedule.kind === 'cron' ? 'pending' : status
    await unit.jobs.follow(job.id, jobStatus)
    const { seriesDone, seriesTotal }: Run = await unit.runs.get(run.id)
    await unit.outbox.add('run', { id: run.id, jobId: job.id, status, seriesDone, seriesTotal })
    await unit.outbox.add('job', { id: job.id, status: jobStatus })
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
