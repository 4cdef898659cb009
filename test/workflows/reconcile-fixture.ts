import { onTestFinished } from 'vitest'
import { reconcile, type ReconcileReport } from '../../src/workflows/reconcile.ts'
import { ask, createApartDatabases, startApart } from '../support/apart.ts'
import type { JsonAnswer } from '../support/json-answer.ts'
import { eventually, startTestNomaly, type TestNomaly } from '../support/nomaly.ts'
import type { TestDatabase } from '../support/postgres.ts'

/** An installation in one database or in two, in which things can be made to go missing. */
export class ReconcileFixture {
  readonly nomaly: TestNomaly
  readonly core: TestDatabase
  /** The same as `core` where there is one. */
  readonly metrics: TestDatabase
  readonly #ids = new Map<string, string>()

  private constructor(nomaly: TestNomaly, metrics: TestDatabase) {
    this.nomaly = nomaly
    this.core = nomaly.database
    this.metrics = metrics
  }

  static async open(
    how: 'one database' | 'two databases',
    { worker = false }: { worker?: boolean } = {},
  ): Promise<ReconcileFixture> {
    if (how === 'two databases') {
      const databases = await createApartDatabases()
      return new ReconcileFixture(await startApart(databases, { worker }), databases.metrics)
    }
    const nomaly = await startTestNomaly({ worker })
    onTestFinished(() => nomaly[Symbol.asyncDispose]())
    return new ReconcileFixture(nomaly, nomaly.database)
  }

  /** Makes datasets that have one series of their name, with two points. */
  async datasets(...names: string[]): Promise<void> {
    for (const name of names) this.#ids.set(name, await this.datasetOf(this.nomaly.tenant.key, name))
  }

  async datasetOf(key: string, name: string): Promise<string> {
    const { body } = await this.nomaly.request('POST', '/v1/datasets', { key, body: { name } })
    await this.#load(key, name, [
      { time: 1_700_000_000_000, metric: name, value: 1 },
      { time: 1_700_000_060_000, metric: name, value: 2 },
    ])
    return body.id
  }

  id(name: string): string {
    return this.#ids.get(name)!
  }

  /** Makes more series in a dataset; answers their ids. */
  async manySeriesOf(name: string, count: number): Promise<number[]> {
    const lines = Array.from({ length: count }, (_, index) => ({
      time: 1_700_000_000_000,
      metric: 'many',
      tags: { n: String(index) },
      value: 1,
    }))
    await this.#load(this.nomaly.tenant.key, name, lines)
    const rows = await ask<{ id: number }>(
      this.metrics,
      "select id from metrics.series where metric = 'many'",
    )
    return rows.map(({ id }) => id)
  }

  async #load(key: string, name: string, lines: readonly object[]): Promise<void> {
    const { status, body } = await this.nomaly.request('POST', `/v1/datasets/${name}/points`, {
      key,
      body: lines.map((line) => JSON.stringify(line)).join('\n'),
      headers: { 'content-type': 'application/x-ndjson' },
    })
    if (status !== 200) throw new Error(JSON.stringify(body))
  }

  async job(dataset: string): Promise<JsonAnswer> {
    const { body } = await this.nomaly.request('POST', '/v1/jobs', {
      body: { dataset, schedule: { kind: 'once' } },
    })
    return body
  }

  /** Has a detector learn the series of a dataset, with a finding that is still open; answers the id of the series. */
  async learn(dataset: string): Promise<number> {
    const job = await this.job(dataset)
    const [series] = await ask<{ id: number }>(
      this.metrics,
      'select id from metrics.series where metric = $1',
      [dataset],
    )
    const { tenantId } = this.nomaly.tenant
    await ask(
      this.core,
      `insert into nomaly.detector_states (tenant_id, job_id, series_id, run_id, revision, state)
       values ($1, $2, $3, $4, 1, '{}')`,
      [tenantId, job.id, series!.id, job.lastRun.id],
    )
    await ask(
      this.core,
      `insert into nomaly.anomalies (tenant_id, job_id, run_id, dataset_id, series_id, metric, tags, started_at, ended_at,
         detected_at, peak_at, observed, expected, lower_bound, upper_bound, score, detected_score, probability, severity,
         direction, algorithm, explanation, ongoing)
       values ($1, $2, $3, $4, $5, $6, '{}', now(), now(), now(), now(), 1, 2, 1, 3, 1, 1, 0, 'low', 'above', 'ewma', '', true)`,
      [tenantId, job.id, job.lastRun.id, this.id(dataset), series!.id, dataset],
    )
    return series!.id
  }

  async round(): Promise<ReconcileReport> {
    // A worker has a round of its own when it starts.
    return eventually(() => reconcile(this.nomaly.store, new AbortController().signal))
  }

  /** What was noted was noted an hour earlier. */
  async anHourLater(): Promise<void> {
    for (const database of new Set([this.core, this.metrics]))
      await ask(database, "update nomaly.orphans set first_seen_at = first_seen_at - interval '1 hour'")
  }

  /** One dataset of three whose points the next round removes, if nothing is in its way. */
  async orphanThatIsDue(): Promise<void> {
    await this.datasets('a', 'b', 'c')
    await ask(this.core, "delete from nomaly.datasets where name = 'c'")
    await this.round()
    await this.anHourLater()
  }

  async notes(): Promise<object[]> {
    return [
      ...(await ask(this.core, 'select * from nomaly.orphans')),
      ...(this.core === this.metrics ? [] : await ask(this.metrics, 'select * from nomaly.orphans')),
    ]
  }

  /** Sources whose removal waits in the queue. */
  async tasks(): Promise<string[]> {
    const rows = await ask<{ key: string }>(
      this.core,
      "select singleton_key as key from pgboss.job where name = 'drop-source' and state in ('created', 'retry', 'active')",
    )
    return rows.map(({ key }) => key)
  }

  async loseTasks(): Promise<void> {
    await ask(this.core, "delete from pgboss.job where name = 'drop-source'")
  }

  async storedMetrics(): Promise<string[]> {
    const rows = await ask<{ metric: string }>(
      this.metrics,
      'select metric from metrics.series order by metric',
    )
    return rows.map(({ metric }) => metric)
  }

  async points(name: string): Promise<number> {
    const { body } = await this.nomaly.request('GET', `/v1/datasets/${name}/series`)
    const { body: found } = await this.nomaly.request('GET', `/v1/series/${body.items[0].id}/points`)
    return found.timesMs.length
  }
}
