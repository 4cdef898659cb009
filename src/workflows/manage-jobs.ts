import { randomBytes } from 'node:crypto'
import type { Identity } from '../access/identity.ts'
import { validateDetectorSettings } from '../detection/algorithms.ts'
import type { Detector } from '../detectors/detector.ts'
import { invalidField, NomalyError } from '../errors.ts'
import { type Job, type JobAction, nextOccurrence, type Schedule, type SeriesSelector } from '../jobs/job.ts'
import type { Run } from '../jobs/run.ts'
import type { Committed } from '../database/position.ts'
import type { Store } from '../store/store.ts'
import type { UnitOfWork } from '../store/unit-of-work.ts'

/** The detector that jobs use where none was named: made on first use. */
export const DEFAULT_DETECTOR_NAME = 'auto'

export interface JobRequest {
  readonly name?: string | undefined
  /** Id or name. */
  readonly dataset: string
  readonly detectorId?: string | undefined
  /** Settings for a detector of the job's own. */
  readonly detector?: unknown
  readonly schedule: Schedule
  readonly selector?: SeriesSelector | undefined
}

/** Makes a job, and with it the first run or the first due time. */
export async function addJob(unit: UnitOfWork, identity: Identity, request: JobRequest): Promise<Job> {
  const nextRunAt = nextOccurrence(request.schedule, new Date())
  const dataset = await unit.datasets.get(request.dataset)
  const name = (request.name ?? `${dataset.name} (${describeSchedule(request.schedule)})`).slice(0, 200)
  const detector = await resolveDetector(unit, request, name)
  const job = await unit.jobs.create({
    name,
    datasetId: dataset.id,
    detectorId: detector.id,
    schedule: request.schedule,
    selector: request.selector ?? {},
    nextRunAt,
  })
  await unit.audit.record(identity.actor, 'job.create', { kind: 'job', id: job.id }, { name })
  await unit.outbox.add('job', { id: job.id, status: job.status })
  if (request.schedule.kind !== 'cron') await startRun(unit, identity.scope.tenantId, job)
  return job
}

async function resolveDetector(unit: UnitOfWork, request: JobRequest, jobName: string): Promise<Detector> {
  if (request.detectorId !== undefined && request.detector !== undefined)
    throw invalidField('detector', 'must not be given together with detectorId')
  if (request.detectorId !== undefined) return unit.detectors.get(request.detectorId)
  if (request.detector === undefined)
    return unit.detectors.findOrCreate(DEFAULT_DETECTOR_NAME, validateDetectorSettings({}))
  // Names are unique and a job's is not: something random tells two of them apart.
  const name = `${jobName.slice(0, 190)} ${randomBytes(4).toString('hex')}`
  return unit.detectors.create(name, validateDetectorSettings(request.detector))
}

function describeSchedule(schedule: Schedule): string {
  return schedule.kind === 'cron' ? schedule.cron : schedule.kind
}

/** Makes a run of a job and the task that executes it. */
export async function startRun(
  unit: UnitOfWork,
  tenantId: string,
  job: Job,
  scheduledFor?: Date,
): Promise<Run | undefined> {
  const run = await unit.runs.create(job.id, scheduledFor)
  if (run === undefined) return undefined
  if (job.schedule.kind === 'streaming')
    await unit.queue.send('advance-stream', { tenantId, jobId: job.id }, job.id)
  else await unit.queue.send('run-detection', { tenantId, runId: run.id }, run.id)
  await unit.outbox.add('run', {
    id: run.id,
    jobId: job.id,
    status: run.status,
    seriesDone: 0,
    seriesTotal: 0,
  })
  return run
}

/** Cancels, pauses or resumes a job. @throws NomalyError `conflict` where its state does not allow it. */
export async function actOnJob(
  unit: UnitOfWork,
  identity: Identity,
  id: string,
  action: JobAction,
): Promise<Job> {
  const before = await unit.jobs.lock(id)
  if (action === 'pause' && before.schedule.kind === 'once')
    throw new NomalyError('conflict', 'A job that runs once cannot be paused.', {
      hint: 'Cancel it; a new run starts it again.',
    })
  const nextRunAt = action === 'resume' ? nextOccurrence(before.schedule, new Date()) : undefined
  const open = await unit.runs.findOpen(id)
  // A cancelled job that was run by hand: only that run is left to cancel.
  const isRunOnly = action === 'cancel' && before.status === 'cancelled' && open !== undefined
  const job = isRunOnly ? before : await unit.jobs.act(id, action, nextRunAt)
  if (action === 'resume') {
    if (job.schedule.kind !== 'cron' && open === undefined) await startRun(unit, identity.scope.tenantId, job)
  } else if (open !== undefined) {
    const status = action === 'pause' && job.schedule.kind === 'streaming' ? 'completed' : 'cancelled'
    await unit.runs.finish({ id: open.id }, status)
    const { seriesDone, seriesTotal } = open
    await unit.outbox.add('run', { id: open.id, jobId: id, status, seriesDone, seriesTotal })
  }
  await unit.audit.record(identity.actor, `job.${action}`, { kind: 'job', id })
  await unit.outbox.add('job', { id, status: job.status })
  return job
}

/** Runs a job now, whatever its schedule says. @throws NomalyError `conflict` while a run of it is under way, or for streaming jobs. */
export async function runJobNow(unit: UnitOfWork, identity: Identity, id: string): Promise<Run> {
  const job = await unit.jobs.lock(id)
  if (job.schedule.kind === 'streaming')
    throw new NomalyError('conflict', 'A streaming job works by itself as points arrive.', {
      hint: 'Make a job that runs once to look at all of the data again.',
    })
  if ((await unit.runs.findOpen(id)) !== undefined)
    throw new NomalyError('conflict', 'A run of this job is under way.', {
      hint: 'Wait for it, or cancel it.',
    })
  // A scheduled job that is paused or cancelled stays so: this is one run, not its schedule.
  if (job.schedule.kind === 'once') await unit.jobs.setStatus(id, 'pending')
  const run = await startRun(unit, identity.scope.tenantId, job)
  await unit.audit.record(identity.actor, 'job.run', { kind: 'job', id })
  await unit.outbox.add('job', { id, status: job.schedule.kind === 'once' ? 'pending' : job.status })
  return run!
}

/** Removes a job with its runs and anomalies. */
export async function deleteJob(store: Store, identity: Identity, id: string): Promise<Committed<void>> {
  return store.transaction(identity.scope, async (unit) => {
    await unit.jobs.lock(id)
    await unit.jobs.remove(id)
    await unit.audit.record(identity.actor, 'job.delete', { kind: 'job', id })
    await unit.outbox.add('job', { id, status: 'deleted' })
  })
}
