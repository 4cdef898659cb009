import { sql } from 'kysely'
import type { TenantScope } from '../access/tenant-scope.ts'
import type { Executor } from '../database/connection.ts'

/** How far a job has come in one series. */
export interface SeriesProgress {
  /** The run that wrote it last. */
  readonly runId: string
  /** Time of the last point that went in, epoch milliseconds. */
  readonly watermarkMs: number | undefined
  /** Whether that run has come to the end of the series. */
  readonly done: boolean
}

/** What a job's detector has learnt of one series. */
export interface DetectorState extends SeriesProgress {
  readonly seriesId: number
  /** Raised by every write. */
  readonly revision: number
  readonly state: unknown
}

/** A state to store, and the revision of the one it follows from; 0 where there was none. */
export interface NextState extends Omit<DetectorState, 'revision'> {
  readonly after: number
}

const watermarkMs = sql<number | null>`(extract(epoch from watermark) * 1000)::float8`.as('watermark_ms')

/** The detector states of one tenant's jobs. */
export class DetectorStateRepository {
  readonly #run: Executor
  readonly #scope: TenantScope

  constructor(run: Executor, scope: TenantScope) {
    this.#run = run
    this.#scope = scope
  }

  /** Those of these series that have one, by series. */
  async find(jobId: string, seriesIds: readonly number[]): Promise<Map<number, DetectorState>> {
    const rows = await this.#run(({ kysely }) =>
      kysely
        .selectFrom('detector_states')
        .select(['series_id', 'run_id', 'revision', 'state', 'done', watermarkMs])
        .where('job_id', '=', jobId)
        .where(sql<boolean>`series_id = any(${seriesIds}::int4[])`)
        .execute(),
    )
    return new Map(
      rows.map((row) => [
        row.series_id,
        {
          seriesId: row.series_id,
          runId: row.run_id,
          revision: row.revision,
          watermarkMs: row.watermark_ms ?? undefined,
          state: row.state,
          done: row.done,
        },
      ]),
    )
  }

  /** How far a job has come in each series, without the states themselves. */
  async progress(jobId: string): Promise<Map<number, SeriesProgress>> {
    const rows = await this.#run(({ kysely }) =>
      kysely
        .selectFrom('detector_states')
        .select(['series_id', 'run_id', 'done', watermarkMs])
        .where('job_id', '=', jobId)
        .execute(),
    )
    return new Map(
      rows.map((row) => [
        row.series_id,
        { runId: row.run_id, watermarkMs: row.watermark_ms ?? undefined, done: row.done },
      ]),
    )
  }

  /**
   * Stores states, each only if nobody has stored one since the one it follows from was read.
   * @returns whether all were stored: `false` when another worker has been here, and then the transaction is to be undone.
   */
  async replaceAll(jobId: string, states: readonly NextState[]): Promise<boolean> {
    const rows = await this.#run((connection) =>
      connection.query<{ stored: number }>(
        `with next as (
           select * from unnest($3::int4[], $4::uuid[], $5::int4[], $6::float8[], $7::jsonb[], $8::bool[])
             as next(series_id, run_id, after, watermark_ms, state, done)
         ), stored as (
           insert into nomaly.detector_states as s
             (tenant_id, job_id, series_id, run_id, revision, watermark, state, done)
           select $1, $2, series_id, run_id, after + 1, to_timestamp(watermark_ms / 1000), state, done from next
           on conflict (job_id, series_id) do update
             set run_id = excluded.run_id, revision = excluded.revision, watermark = excluded.watermark,
                 state = excluded.state, done = excluded.done, updated_at = now()
             where s.revision = excluded.revision - 1
           returning 1
         )
         select count(*)::int4 as stored from stored`,
        [
          this.#scope.tenantId,
          jobId,
          states.map(({ seriesId }) => seriesId),
          states.map(({ runId }) => runId),
          states.map(({ after }) => after),
          states.map((state) => state.watermarkMs ?? null),
          states.map(({ state }) => JSON.stringify(state)),
          states.map(({ done }) => done),
        ],
      ),
    )
    return rows[0]?.stored === states.length
  }
}
