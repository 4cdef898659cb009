import { sql } from 'kysely'
import type { TenantScope } from '../access/tenant-scope.ts'
import type { Connection, Executor } from '../database/connection.ts'
import { type Page, type PageRequest, cursorKey, decodeCursor, toPage } from '../database/paging.ts'
import type { Finding, Severity } from '../detection/finding.ts'
import { notFound } from '../errors.ts'
import { ANOMALY_ACTIONS, type Anomaly, type AnomalyAction, type AnomalyState } from './anomaly.ts'
import { anomalyColumns, ANOMALY_COLUMNS, toAnomaly } from './anomaly-row.ts'

export interface AnomalyFilter {
  readonly states?: readonly AnomalyState[] | undefined
  readonly severities?: readonly Severity[] | undefined
  readonly datasetId?: string | undefined
  readonly jobId?: string | undefined
  readonly seriesId?: number | undefined
  /** Anomalies that touch the half-open range. */
  readonly from?: Date | undefined
  readonly to?: Date | undefined
}

/** Where findings come from: all that they need beside themselves. */
export interface FindingSource {
  readonly jobId: string
  readonly runId: string
  readonly datasetId: string
  readonly seriesId: number
  readonly metric: string
  readonly tags: Readonly<Record<string, string>>
  readonly algorithm: string
}

/** The anomalies of one tenant. */
export class AnomalyRepository {
  readonly #run: Executor
  readonly #scope: TenantScope

  constructor(run: Executor, scope: TenantScope) {
    this.#run = run
    this.#scope = scope
  }

  /** Newest first. */
  async list(filter: AnomalyFilter, page: PageRequest): Promise<Page<Anomaly>> {
    const rows = await this.#run((connection) => {
      let query = selectAnomalies(connection)
        .orderBy('anomalies.started_at', 'desc')
        .orderBy('anomalies.id', 'desc')
        .limit(page.limit + 1)
      if (filter.states !== undefined) query = query.where('anomalies.state', 'in', filter.states)
      if (filter.severities !== undefined) query = query.where('anomalies.severity', 'in', filter.severities)
      if (filter.datasetId !== undefined) query = query.where('anomalies.dataset_id', '=', filter.datasetId)
      if (filter.jobId !== undefined) query = query.where('anomalies.job_id', '=', filter.jobId)
      if (filter.seriesId !== undefined) query = query.where('anomalies.series_id', '=', filter.seriesId)
      if (filter.from !== undefined) query = query.where('anomalies.ended_at', '>=', filter.from)
      if (filter.to !== undefined) query = query.where('anomalies.started_at', '<', filter.to)
      if (page.cursor !== undefined) {
        const [startedAt, id] = decodeCursor(page.cursor, [cursorKey.time, cursorKey.uuid])
        query = query.where(
          sql<boolean>`(anomalies.started_at, anomalies.id) < (${startedAt}::timestamptz, ${id}::uuid)`,
        )
      }
      return query.execute()
    })
    return toPage(rows, page.limit, toAnomaly, (row) => [row.started_at_text, row.id])
  }

  /** @throws NomalyError `not_found`. */
  async get(id: string): Promise<Anomaly> {
    const row = await this.#run((connection) =>
      selectAnomalies(connection).where('anomalies.id', '=', id).executeTakeFirst(),
    )
    if (row === undefined) throw notFound('anomaly', id)
    return toAnomaly(row)
  }

  /** How many anomalies are open, by job. */
  async countOpen(jobIds: readonly string[]): Promise<Map<string, number>> {
    if (jobIds.length === 0) return new Map()
    const rows = await this.#run(({ kysely }) =>
      kysely
        .selectFrom('anomalies')
        .select(['job_id', sql<number>`count(*)::int`.as('count')])
        .where('job_id', 'in', jobIds)
        .where('state', '=', 'open')
        .groupBy('job_id')
        .execute(),
    )
    return new Map(rows.map((row) => [row.job_id, row.count]))
  }

  /**
   * Stores findings of one series; one that is there already is brought up to date and keeps what people said of it.
   * @returns the ids that are new, and those that changed.
   */
  async record(
    source: FindingSource,
    findings: readonly Finding[],
  ): Promise<{ opened: string[]; updated: string[] }> {
    const opened: string[] = []
    const updated: string[] = []
    for (const finding of findings) {
      const columns = anomalyColumns(source, finding)
      const row = await this.#run(({ kysely }) =>
        kysely
          .insertInto('anomalies')
          .values({ tenant_id: this.#scope.tenantId, ...columns })
          .onConflict((conflict) =>
            conflict
              .columns(['job_id', 'series_id', 'started_at'])
              .doUpdateSet({ ...columns, updated_at: sql`now()` })
              .where(
                sql<boolean>`(anomalies.ended_at, anomalies.score, anomalies.ongoing, anomalies.explanation)
                  is distinct from (excluded.ended_at, excluded.score, excluded.ongoing, excluded.explanation)`,
              ),
          )
          // A row that was inserted, not updated, has no deleting transaction (PostgreSQL manual, 5.6 System Columns).
          .returning(['id', sql<boolean>`xmax = 0`.as('inserted')])
          .executeTakeFirst(),
      )
      if (row !== undefined) (row.inserted ? opened : updated).push(row.id)
    }
    return { opened, updated }
  }

  /** Ends what earlier runs left ongoing in a series that this run has looked at whole: it has told all that there is. */
  async endOthers({ jobId, seriesId, runId }: FindingSource): Promise<void> {
    await this.#run(({ kysely }) =>
      kysely
        .updateTable('anomalies')
        .set({ ongoing: false, updated_at: sql`now()` })
        .where('job_id', '=', jobId)
        .where('series_id', '=', seriesId)
        .where('run_id', '<>', runId)
        .where('ongoing', '=', true)
        .execute(),
    )
  }

  /** Removes anomalies of a dataset that ended before a time, `limit` at most; answers how many. */
  async removeEndedBefore(datasetId: string, before: Date, limit: number): Promise<number> {
    const result = await this.#run(({ kysely }) =>
      kysely
        .deleteFrom('anomalies')
        .where('id', 'in', (query) =>
          query
            .selectFrom('anomalies')
            .select('id')
            .where('dataset_id', '=', datasetId)
            .where('ended_at', '<', before)
            .limit(limit),
        )
        .executeTakeFirst(),
    )
    return Number(result.numDeletedRows)
  }

  /** Notes what a person said of an anomaly. @throws NomalyError `not_found`. */
  async act(id: string, action: AnomalyAction, actor: string, note: string | undefined): Promise<Anomaly> {
    await this.#run(({ kysely }) =>
      kysely
        .updateTable('anomalies')
        .set({
          state: ANOMALY_ACTIONS[action],
          ...(note === undefined ? {} : { note }),
          state_changed_at: sql`now()`,
          state_changed_by: actor,
          updated_at: sql`now()`,
        })
        .where('id', '=', id)
        .execute(),
    )
    return this.get(id)
  }
}

// eslint-disable-next-line typescript/explicit-function-return-type -- the builder's type is inferred from its columns
function selectAnomalies({ kysely }: Connection) {
  return kysely
    .selectFrom('anomalies')
    .innerJoin('datasets', 'datasets.id', 'anomalies.dataset_id')
    .select([
      ...ANOMALY_COLUMNS,
      'datasets.name as dataset_name',
      sql<string>`(anomalies.started_at at time zone 'UTC')::text || '+00'`.as('started_at_text'),
    ])
}
