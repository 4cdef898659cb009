import { sql } from 'kysely'
import type { TenantScope } from '../access/tenant-scope.ts'
import type { Connection, Executor } from '../database/connection.ts'
import { type Page, type PageRequest, cursorKey, decodeCursor, toPage } from '../database/paging.ts'
import { NomalyError, notFound } from '../errors.ts'
import {
  JOB_ACTIONS,
  type Job,
  type JobAction,
  type JobStatus,
  type Schedule,
  type SeriesSelector,
} from './job.ts'

export interface NewJob {
  readonly name: string
  readonly datasetId: string
  readonly detectorId: string
  readonly schedule: Schedule
  readonly selector: SeriesSelector
  readonly nextRunAt: Date | undefined
}

export interface JobFilter {
  readonly datasetId?: string | undefined
  readonly status?: JobStatus | undefined
}

/** The jobs of one tenant. */
export class JobRepository {
  readonly #run: Executor
  readonly #scope: TenantScope

  constructor(run: Executor, scope: TenantScope) {
    this.#run = run
    this.#scope = scope
  }

  /** Newest first. */
  async list(filter: JobFilter, page: PageRequest): Promise<Page<Job>> {
    const rows = await this.#run((connection) => {
      let query = selectJobs(connection)
        .orderBy('jobs.created_at', 'desc')
        .orderBy('jobs.id', 'desc')
        .limit(page.limit + 1)
      if (filter.datasetId !== undefined) query = query.where('jobs.dataset_id', '=', filter.datasetId)
      if (filter.status !== undefined) query = query.where('jobs.status', '=', filter.status)
      if (page.cursor !== undefined) {
        const [createdAt, id] = decodeCursor(page.cursor, [cursorKey.time, cursorKey.uuid])
        query = query.where(
          sql<boolean>`(jobs.created_at, jobs.id) < (${createdAt}::timestamptz, ${id}::uuid)`,
        )
      }
      return query.execute()
    })
    return toPage(rows, page.limit, toJob, (row) => [row.created_at_text, row.id])
  }

  async find(id: string): Promise<Job | undefined> {
    const row = await this.#run((connection) =>
      selectJobs(connection).where('jobs.id', '=', id).executeTakeFirst(),
    )
    return row === undefined ? undefined : toJob(row)
  }

  /**
   * Keeps others from changing the job until this transaction ends: taken before anything of its runs is, so that no two wait for each
   * other. @throws NomalyError `not_found`.
   */
  async lock(id: string): Promise<Job> {
    await this.#run(({ kysely }) =>
      kysely.selectFrom('jobs').select('id').where('id', '=', id).forNoKeyUpdate().execute(),
    )
    return this.get(id)
  }

  /** The streaming jobs of a dataset that are at work. */
  async streamsOf(datasetId: string): Promise<string[]> {
    const rows = await this.#run(({ kysely }) =>
      kysely
        .selectFrom('jobs')
        .select('id')
        .where('dataset_id', '=', datasetId)
        .where(sql<boolean>`schedule ->> 'kind' = 'streaming' and status in ('pending', 'running')`)
        .execute(),
    )
    return rows.map(({ id }) => id)
  }

  /** @throws NomalyError `not_found`. */
  async get(id: string): Promise<Job> {
    const job = await this.find(id)
    if (job === undefined) throw notFound('job', id)
    return job
  }

  async create(job: NewJob): Promise<Job> {
    const { id } = await this.#run(({ kysely }) =>
      kysely
        .insertInto('jobs')
        .values({
          tenant_id: this.#scope.tenantId,
          name: job.name,
          dataset_id: job.datasetId,
          detector_id: job.detectorId,
          schedule: JSON.stringify(job.schedule),
          selector: JSON.stringify(job.selector),
          next_run_at: job.nextRunAt ?? null,
        })
        .returning('id')
        .executeTakeFirstOrThrow(),
    )
    return this.get(id)
  }

  /**
   * Does what a person asked for, where the job's state allows it.
   * @throws NomalyError `not_found`, or `conflict` that says which state it is in.
   */
  async act(id: string, action: JobAction, nextRunAt: Date | undefined): Promise<Job> {
    const { from, to } = JOB_ACTIONS[action]
    const result = await this.#run(({ kysely }) =>
      kysely
        .updateTable('jobs')
        .set({ status: to, next_run_at: nextRunAt ?? null, updated_at: new Date() })
        .where('id', '=', id)
        .where('status', 'in', from)
        .executeTakeFirst(),
    )
    const job = await this.get(id)
    if (result.numUpdatedRows === 0n)
      throw new NomalyError('conflict', `The job is ${job.status}: it cannot be ${PARTICIPLE[action]} now.`, {
        hint: `Only jobs that are ${from.join(' or ')} can be ${PARTICIPLE[action]}.`,
      })
    return job
  }

  /** Moves a job on when its run does; a job that a person has cancelled or paused meanwhile stays so. */
  async follow(id: string, status: JobStatus): Promise<void> {
    await this.#run(({ kysely }) =>
      kysely
        .updateTable('jobs')
        .set({ status, updated_at: new Date() })
        .where('id', '=', id)
        .where('status', 'not in', ['cancelled', 'paused'])
        .execute(),
    )
  }

  /** Sets the state whatever it was. */
  async setStatus(id: string, status: JobStatus): Promise<void> {
    await this.#run(({ kysely }) =>
      kysely.updateTable('jobs').set({ status, updated_at: new Date() }).where('id', '=', id).execute(),
    )
  }

  /**
   * Moves a cron job that is due on to its next time.
   * @returns the instant it was due, or `undefined` where another worker has moved it on already.
   */
  async takeDue(id: string, now: Date, next: Date | undefined): Promise<Date | undefined> {
    const rows = await this.#run((connection) =>
      connection.query<{ due: Date }>(
        `with due as (select id, next_run_at from nomaly.jobs where id = $1 and next_run_at <= $2 for update)
         update nomaly.jobs set next_run_at = $3, updated_at = now() from due where jobs.id = due.id
         returning due.next_run_at as due`,
        [id, now, next ?? null],
      ),
    )
    return rows[0]?.due
  }

  /** Removes the job with its runs, states and anomalies. @throws NomalyError `not_found`. */
  async remove(id: string): Promise<void> {
    const result = await this.#run(({ kysely }) =>
      kysely.deleteFrom('jobs').where('id', '=', id).executeTakeFirst(),
    )
    if (result.numDeletedRows === 0n) throw notFound('job', id)
  }
}

const PARTICIPLE: Readonly<Record<JobAction, string>> = {
  cancel: 'cancelled',
  pause: 'paused',
  resume: 'resumed',
}

// eslint-disable-next-line typescript/explicit-function-return-type -- the builder's type is inferred from its columns
function selectJobs({ kysely }: Connection) {
  return kysely
    .selectFrom('jobs')
    .innerJoin('datasets', 'datasets.id', 'jobs.dataset_id')
    .select([
      'jobs.id',
      'jobs.name',
      'jobs.dataset_id',
      'datasets.name as dataset_name',
      'jobs.detector_id',
      'jobs.schedule',
      'jobs.selector',
      'jobs.status',
      'jobs.created_at',
      'jobs.updated_at',
      sql<string>`(jobs.created_at at time zone 'UTC')::text || '+00'`.as('created_at_text'),
    ])
}

function toJob(row: {
  id: string
  name: string
  dataset_id: string
  dataset_name: string
  detector_id: string
  schedule: unknown
  selector: unknown
  status: string
  created_at: Date
  updated_at: Date
}): Job {
  return {
    id: row.id,
    name: row.name,
    datasetId: row.dataset_id,
    datasetName: row.dataset_name,
    detectorId: row.detector_id,
    schedule: row.schedule as Schedule,
    selector: row.selector as SeriesSelector,
    status: row.status as JobStatus,
    createdAt: row.created_at,
    updatedAt: row.updated_at,
  }
}
