import { sql } from 'kysely'
import type { TenantScope } from '../access/tenant-scope.ts'
import type { Executor } from '../database/connection.ts'
import { type Page, type PageRequest, cursorKey, decodeCursor, toPage } from '../database/paging.ts'
import { notFound } from '../errors.ts'
import type { Run, RunStatus } from './run.ts'

const COLUMNS = [
  'id',
  'job_id',
  'status',
  'attempt',
  'series_total',
  'series_done',
  'points_scanned',
  'anomalies_found',
  'created_at',
  'started_at',
  'finished_at',
  'error',
] as const

/** What a worker adds to the counters of a run. */
export interface RunProgress {
  readonly pointsScanned: number
  readonly anomaliesFound: number
  readonly seriesDone: number
}

/** The runs of one tenant's jobs. */
export class RunRepository {
  readonly #run: Executor
  readonly #scope: TenantScope

  constructor(run: Executor, scope: TenantScope) {
    this.#run = run
    this.#scope = scope
  }

  /** Newest first. */
  async list(jobId: string, page: PageRequest): Promise<Page<Run>> {
    const rows = await this.#run(({ kysely }) => {
      let query = kysely
        .selectFrom('runs')
        .select([
          ...COLUMNS,
          sql<string>`(created_at at time zone 'UTC')::text || '+00'`.as('created_at_text'),
        ])
        .where('job_id', '=', jobId)
        .orderBy('created_at', 'desc')
        .orderBy('id', 'desc')
        .limit(page.limit + 1)
      if (page.cursor !== undefined) {
        const [createdAt, id] = decodeCursor(page.cursor, [cursorKey.time, cursorKey.uuid])
        query = query.where(sql<boolean>`(created_at, id) < (${createdAt}::timestamptz, ${id}::uuid)`)
      }
      return query.execute()
    })
    return toPage(rows, page.limit, toRun, (row) => [row.created_at_text, row.id])
  }

  /** The newest run of each job, by job. */
  async latestOf(jobIds: readonly string[]): Promise<Map<string, Run>> {
    if (jobIds.length === 0) return new Map()
    const rows = await this.#run(({ kysely }) =>
      kysely
        .selectFrom('runs')
        .select(COLUMNS)
        .where(
          sql<boolean>`id in (select newest.id from unnest(${jobIds}::uuid[]) as job(id)
            cross join lateral (select r.id from nomaly.runs r where r.job_id = job.id order by r.created_at desc limit 1) newest)`,
        )
        .execute(),
    )
    return new Map(rows.map((row) => [row.job_id, toRun(row)]))
  }

  /** @throws NomalyError `not_found`. */
  async get(id: string): Promise<Run> {
    const row = await this.#run(({ kysely }) =>
      kysely.selectFrom('runs').select(COLUMNS).where('id', '=', id).executeTakeFirst(),
    )
    if (row === undefined) throw notFound('run', id)
    return toRun(row)
  }

  /** Makes a run; `undefined` where the job has one that is not over, or had one for that instant. */
  async create(jobId: string, scheduledFor?: Date): Promise<Run | undefined> {
    const row = await this.#run(({ kysely }) =>
      kysely
        .insertInto('runs')
        .values({ tenant_id: this.#scope.tenantId, job_id: jobId, scheduled_for: scheduledFor ?? null })
        .onConflict((conflict) => conflict.doNothing())
        .returning(COLUMNS)
        .executeTakeFirst(),
    )
    return row === undefined ? undefined : toRun(row)
  }

  /** The run of a job that is not over, if there is one. */
  async findOpen(jobId: string): Promise<Run | undefined> {
    const row = await this.#run(({ kysely }) =>
      kysely
        .selectFrom('runs')
        .select(COLUMNS)
        .where('job_id', '=', jobId)
        .where('status', 'in', ['pending', 'running'])
        .orderBy('created_at', 'desc')
        .executeTakeFirst(),
    )
    return row === undefined ? undefined : toRun(row)
  }

  /** Takes a run up for a worker; `undefined` where it is over. */
  async claim(id: string, workerId: string): Promise<Run | undefined> {
    const row = await this.#run(({ kysely }) =>
      kysely
        .updateTable('runs')
        .set({
          status: 'running',
          worker_id: workerId,
          attempt: sql`attempt + 1`,
          started_at: sql`coalesce(started_at, now())`,
        })
        .where('id', '=', id)
        .where('status', 'in', ['pending', 'running'])
        .returning(COLUMNS)
        .executeTakeFirst(),
    )
    return row === undefined ? undefined : toRun(row)
  }

  /**
   * Adds to the counters of a run, while this attempt still holds it.
   * @returns whether it does: `false` once it was cancelled or taken over.
   */
  async advance(run: Pick<Run, 'id' | 'attempt'>, progress: RunProgress): Promise<boolean> {
    const result = await this.#run(({ kysely }) =>
      kysely
        .updateTable('runs')
        .set({
          points_scanned: sql`points_scanned + ${progress.pointsScanned}`,
          anomalies_found: sql`anomalies_found + ${progress.anomaliesFound}`,
          series_done: sql`series_done + ${progress.seriesDone}`,
        })
        .where('id', '=', run.id)
        .where('attempt', '=', run.attempt)
        .where('status', '=', 'running')
        .executeTakeFirst(),
    )
    return result.numUpdatedRows > 0n
  }

  async setSeriesTotal(
    { id, attempt }: Pick<Run, 'id' | 'attempt'>,
    seriesTotal: number,
    seriesDone: number,
  ): Promise<void> {
    await this.#run(({ kysely }) =>
      kysely
        .updateTable('runs')
        .set({ series_total: seriesTotal, series_done: seriesDone })
        .where('id', '=', id)
        .where('attempt', '=', attempt)
        .execute(),
    )
  }

  /**
   * Ends a run; one that is over already stays as it is.
   * @param run with the attempt where a worker ends it: one that was taken over is no longer its own.
   * @returns whether this call ended it.
   */
  async finish(
    run: Pick<Run, 'id'> & Partial<Pick<Run, 'attempt'>>,
    status: Extract<RunStatus, 'completed' | 'failed' | 'cancelled'>,
    error?: { readonly message: string; readonly hint: string | null },
  ): Promise<boolean> {
    const result = await this.#run(({ kysely }) => {
      const query = kysely
        .updateTable('runs')
        .set({ status, finished_at: sql`now()`, error: error === undefined ? null : JSON.stringify(error) })
        .where('id', '=', run.id)
        .where('status', 'in', ['pending', 'running'])
      return (run.attempt === undefined ? query : query.where('attempt', '=', run.attempt)).executeTakeFirst()
    })
    return result.numUpdatedRows > 0n
  }
}

function toRun(row: {
  id: string
  job_id: string
  status: string
  attempt: number
  series_total: number
  series_done: number
  points_scanned: string
  anomalies_found: number
  created_at: Date
  started_at: Date | null
  finished_at: Date | null
  error: unknown
}): Run {
  return {
    id: row.id,
    jobId: row.job_id,
    status: row.status as RunStatus,
    attempt: row.attempt,
    seriesTotal: row.series_total,
    seriesDone: row.series_done,
    pointsScanned: Number(row.points_scanned),
    anomaliesFound: row.anomalies_found,
    createdAt: row.created_at,
    startedAt: row.started_at,
    finishedAt: row.finished_at,
    error: row.error as Run['error'],
  }
}
