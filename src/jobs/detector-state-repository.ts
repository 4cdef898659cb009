import { sql } from 'kysely'
import type { TenantScope } from '../access/tenant-scope.ts'
import type { Executor } from '../database/connection.ts'

/** What a job's detector has learnt of one series. */
export interface DetectorState {
  readonly seriesId: number
  readonly runId: string
  readonly revision: number
  /** Time of the last point that went in, epoch milliseconds. */
  readonly watermarkMs: number | undefined
  readonly state: unknown
  /** Whether the run has come to the end of the series. */
  readonly done: boolean
}

/** The detector states of one tenant's jobs. */
export class DetectorStateRepository {
  readonly #run: Executor
  readonly #scope: TenantScope

  constructor(run: Executor, scope: TenantScope) {
    this.#run = run
    this.#scope = scope
  }

  async find(jobId: string, seriesId: number): Promise<DetectorState | undefined> {
    const row = await this.#run(({ kysely }) =>
      kysely
        .selectFrom('detector_states')
        .select(['series_id', 'run_id', 'revision', 'state', 'done', watermarkMs])
        .where('job_id', '=', jobId)
        .where('series_id', '=', seriesId)
        .executeTakeFirst(),
    )
    if (row === undefined) return undefined
    return {
      seriesId: row.series_id,
      runId: row.run_id,
      revision: row.revision,
      watermarkMs: row.watermark_ms ?? undefined,
      state: row.state,
      done: row.done,
    }
  }

  /** How far a job has come in each series, without the states themselves. */
  async progress(jobId: string): Promise<Map<number, { runId: string; watermarkMs: number | undefined; done: boolean }>> {
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
   * Stores a state, where nobody has since it was read.
   * @param revision that of the state that was read; 0 where there was none.
   * @returns whether it was stored: `false` when another worker has been here.
   */
  async replace(jobId: string, revision: number, next: Omit<DetectorState, 'revision'>): Promise<boolean> {
    const values = {
      run_id: next.runId,
      watermark: next.watermarkMs === undefined ? null : sql<Date>`to_timestamp(${next.watermarkMs / 1000}::float8)`,
      state: JSON.stringify(next.state),
      done: next.done,
    }
    return this.#run(async ({ kysely }) => {
      if (revision === 0) {
        const inserted = await kysely
          .insertInto('detector_states')
          .values({ tenant_id: this.#scope.tenantId, job_id: jobId, series_id: next.seriesId, revision: 1, ...values })
          .onConflict((conflict) => conflict.columns(['job_id', 'series_id']).doNothing())
          .executeTakeFirst()
        return (inserted.numInsertedOrUpdatedRows ?? 0n) > 0n
      }
      const updated = await kysely
        .updateTable('detector_states')
        .set({ ...values, revision: revision + 1, updated_at: new Date() })
        .where('job_id', '=', jobId)
        .where('series_id', '=', next.seriesId)
        .where('revision', '=', revision)
        .executeTakeFirst()
      return updated.numUpdatedRows > 0n
    })
  }
}

const watermarkMs = sql<number | null>`(extract(epoch from watermark) * 1000)::float8`.as('watermark_ms')
