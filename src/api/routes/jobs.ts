import { Type } from 'typebox'
import type { Detector } from '../../detectors/detector.ts'
import { notFound } from '../../errors.ts'
import { type Job, JOB_ACTIONS, type JobAction } from '../../jobs/job.ts'
import type { Run } from '../../jobs/run.ts'
import type { Store } from '../../store/store.ts'
import type { Repositories } from '../../store/unit-of-work.ts'
import { actOnJob, addJob, deleteJob, runJobNow } from '../../workflows/manage-jobs.ts'
import type { Api } from '../api.ts'
import { identityOf } from '../plugins/authentication.ts'
import { idempotently } from '../plugins/idempotency.ts'
import { replyPosition, repositoriesOf } from '../plugins/positions.ts'
import { DetectorSettingsBody } from '../schemas/detectors.ts'
import { JobBody, JobStatus, RunBody, ScheduleBody, SelectorBody } from '../schemas/jobs.ts'
import { IdParams, PageQuery, pageOf, pageRequest, problems, Uuid } from '../schemas/shared.ts'
import { presentDetector } from './detectors.ts'

const tags = ['jobs']

/** Jobs bind detectors to data; each execution is a run. */
export function registerJobRoutes(app: Api, store: Store): void {
  app.get(
    '/v1/jobs',
    {
      config: { permission: 'read' },
      schema: {
        tags,
        summary: 'List jobs, newest first',
        querystring: Type.Object({
          ...PageQuery,
          datasetId: Type.Optional(Uuid),
          status: Type.Optional(JobStatus),
        }),
        response: { 200: pageOf(JobBody), ...problems },
      },
    },
    async (request) => {
      const { datasetId, status } = request.query
      const repositories = repositoriesOf(request, store)
      const page = await repositories.jobs.list({ datasetId, status }, pageRequest(request.query))
      return { items: await presentJobs(repositories, page.items), nextCursor: page.nextCursor }
    },
  )

  app.post(
    '/v1/jobs',
    {
      config: { permission: 'write' },
      schema: {
        tags,
        summary: 'Make a job',
        body: Type.Object(
          {
            name: Type.Optional(Type.String({ minLength: 1, maxLength: 200 })),
            dataset: Type.String({ minLength: 1, maxLength: 100, description: 'Id or name' }),
            detectorId: Type.Optional(Uuid),
            detector: Type.Optional(
              Type.Object(DetectorSettingsBody, {
                additionalProperties: false,
                description: 'Settings for a detector of its own',
              }),
            ),
            schedule: ScheduleBody,
            selector: Type.Optional(SelectorBody),
          },
          { additionalProperties: false },
        ),
        response: { 201: JobBody, ...problems },
      },
    },
    async (request, reply) => {
      const identity = identityOf(request)
      return idempotently(store, request, reply.code(201), async (unit) =>
        presentChanged(unit, await addJob(unit, identity, request.body)),
      )
    },
  )

  app.get(
    '/v1/jobs/:id',
    {
      config: { permission: 'read' },
      schema: { tags, summary: 'Show a job', params: IdParams, response: { 200: JobBody, ...problems } },
    },
    async (request) => {
      const repositories = repositoriesOf(request, store)
      return presentJob(repositories, await repositories.jobs.get(request.params.id))
    },
  )

  app.delete(
    '/v1/jobs/:id',
    {
      config: { permission: 'write' },
      schema: {
        tags,
        summary: 'Delete a job with its runs and anomalies',
        params: IdParams,
        response: { 204: Type.Null(), ...problems },
      },
    },
    async (request, reply) => {
      const { position } = await deleteJob(store, identityOf(request), request.params.id)
      replyPosition(reply, position)
      return reply.code(204).send(null)
    },
  )

  for (const action of Object.keys(JOB_ACTIONS) as JobAction[])
    app.post(
      `/v1/jobs/:id/${action}`,
      {
        config: { permission: 'write' },
        schema: {
          tags,
          summary: `${action[0]!.toUpperCase()}${action.slice(1)} a job`,
          params: IdParams,
          response: { 200: JobBody, ...problems },
        },
      },
      async (request, reply) => {
        const identity = identityOf(request)
        return idempotently(store, request, reply, async (unit) =>
          presentChanged(unit, await actOnJob(unit, identity, request.params.id, action)),
        )
      },
    )

  app.post(
    '/v1/jobs/:id/runs',
    {
      config: { permission: 'write' },
      schema: { tags, summary: 'Run a job now', params: IdParams, response: { 201: RunBody, ...problems } },
    },
    async (request, reply) => {
      const identity = identityOf(request)
      return idempotently(store, request, reply.code(201), async (unit) =>
        presentRun(await runJobNow(unit, identity, request.params.id)),
      )
    },
  )

  app.get(
    '/v1/jobs/:id/runs',
    {
      config: { permission: 'read' },
      schema: {
        tags,
        summary: 'List the runs of a job, newest first',
        params: IdParams,
        querystring: Type.Object(PageQuery),
        response: { 200: pageOf(RunBody), ...problems },
      },
    },
    async (request) => {
      const repositories = repositoriesOf(request, store)
      const job = await repositories.jobs.get(request.params.id)
      const page = await repositories.runs.list(job.id, pageRequest(request.query))
      return { items: page.items.map(presentRun), nextCursor: page.nextCursor }
    },
  )

  app.get(
    '/v1/runs/:id',
    {
      config: { permission: 'read' },
      schema: { tags, summary: 'Show a run', params: IdParams, response: { 200: RunBody, ...problems } },
    },
    async (request) => presentRun(await repositoriesOf(request, store).runs.get(request.params.id)),
  )
}

type PresentedJob = Omit<Job, 'createdAt' | 'updatedAt' | 'detectorId'> & {
  createdAt: string
  updatedAt: string
  detector: ReturnType<typeof presentDetector>
  lastRun: ReturnType<typeof presentRun> | null
  openAnomalies: number
}

async function presentJob(repositories: Repositories, job: Job): Promise<PresentedJob> {
  const [presented] = await presentJobs(repositories, [job])
  if (presented === undefined) throw notFound('job', job.id)
  return presented
}

async function presentJobs(repositories: Repositories, jobs: readonly Job[]): Promise<PresentedJob[]> {
  const ids = jobs.map(({ id }) => id)
  const [runs, open, detectors] = await Promise.all([
    repositories.runs.latestOf(ids),
    repositories.anomalies.countOpen(ids),
    repositories.detectors.getMany([...new Set(jobs.map(({ detectorId }) => detectorId))]),
  ])
  return jobs.flatMap((job) => {
    const detector = detectors.get(job.detectorId)
    // Deleted while this request was under way, and its job before it.
    return detector === undefined ? [] : join(job, detector, runs.get(job.id), open.get(job.id))
  })
}

/** A job as the transaction sees that has made or changed it, where one statement comes after the other. */
async function presentChanged(unit: Repositories, job: Job): Promise<PresentedJob> {
  const runs = await unit.runs.latestOf([job.id])
  const open = await unit.anomalies.countOpen([job.id])
  return join(job, await unit.detectors.get(job.detectorId), runs.get(job.id), open.get(job.id))
}

function join(
  { createdAt, updatedAt, detectorId: _detectorId, ...job }: Job,
  detector: Detector,
  lastRun: Run | undefined,
  openAnomalies = 0,
): PresentedJob {
  return {
    ...job,
    createdAt: createdAt.toISOString(),
    updatedAt: updatedAt.toISOString(),
    detector: presentDetector(detector),
    lastRun: lastRun === undefined ? null : presentRun(lastRun),
    openAnomalies,
  }
}

// eslint-disable-next-line typescript/explicit-function-return-type -- the type is that of the literal
function presentRun(run: Run) {
  return {
    ...run,
    createdAt: run.createdAt.toISOString(),
    startedAt: run.startedAt?.toISOString() ?? null,
    finishedAt: run.finishedAt?.toISOString() ?? null,
  }
}
