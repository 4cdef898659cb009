import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import pg from 'pg'
import { from as copyFrom } from 'pg-copy-streams'
import { type AnswerRow, type Question, type Selection, toRow, valueRow } from './question.ts'
import type { Side } from './side.ts'
import type { PointColumns, Workload } from './workload.ts'

/** As the ADR writes them. */
const TABLE = `create table anomaly_metrics (
  time timestamptz not null, job_id uuid not null, metric_name text not null, metric_value double precision not null, tags jsonb)`
const HYPERTABLE = `select create_hypertable('anomaly_metrics', 'time')`
/** What create_hypertable adds by itself. */
const TIME_INDEX = 'create index on anomaly_metrics (time desc)'
const INDEXES = `
  create index idx_anomaly_metrics_job_id on anomaly_metrics (job_id, time desc);
  create index idx_anomaly_metrics_name on anomaly_metrics (metric_name, time desc);
  create index idx_anomaly_metrics_tags on anomaly_metrics using gin (tags)`
const COMPRESSION = `alter table anomaly_metrics
  set (timescaledb.compress, timescaledb.compress_segmentby = 'job_id, metric_name')`

const INSTANTS_AT_ONCE = 20

/** The ADR's table with its three indexes: a hypertable, or a plain table where the server has no TimescaleDB. */
export class AdrSide implements Side {
  readonly name: string
  readonly #client: pg.Client
  readonly #isHypertable: boolean
  readonly #workload: Workload

  private constructor(client: pg.Client, isHypertable: boolean, workload: Workload) {
    this.name = isHypertable ? "ADR's hypertable" : "ADR's table"
    this.#client = client
    this.#isHypertable = isHypertable
    this.#workload = workload
  }

  /** Makes the table in an empty database. */
  static async create(adminUrl: string, isHypertable: boolean, workload: Workload): Promise<AdrSide> {
    const client = new pg.Client({ connectionString: adminUrl })
    await client.connect()
    await client.query(`${TABLE}; ${isHypertable ? HYPERTABLE : TIME_INDEX}; ${INDEXES}`)
    return new AdrSide(client, isHypertable, workload)
  }

  /** Copies the workload in, and has the table vacuumed. */
  async load(signal: AbortSignal): Promise<void> {
    const workload = this.#workload
    const copy = this.#client.query(
      copyFrom('copy anomaly_metrics (time, job_id, metric_name, metric_value, tags) from stdin'),
    )
    await pipeline(Readable.from(lines(workload)), copy, { signal })
    await this.#client.query('vacuum (analyze) anomaly_metrics')
  }

  /**
   * What the ADR's `save_metrics` does, one insert after another in one transaction; answers how many rows a second that was.
   * Nothing of it stays.
   */
  async insertRowByRow(rows: number): Promise<number> {
    const [columns] = this.#workload.batches(Math.ceil(rows / this.#workload.series))
    const { series, timesMs, values } = columns!
    const start = performance.now()
    await this.#client.query('begin')
    for (let i = 0; i < rows; i++) {
      const { id, host, region } = this.#workload.jobOf(series[i]!)
      await this.#client.query({
        name: 'insert-metric',
        text: 'insert into anomaly_metrics (time, job_id, metric_name, metric_value, tags) values ($1, $2, $3, $4, $5)',
        values: [
          new Date(timesMs[i]!),
          id,
          this.#workload.metricOf(series[i]!),
          values[i]!,
          JSON.stringify({ host, region }),
        ],
      })
    }
    await this.#client.query('commit')
    const rate = (rows * 1000) / (performance.now() - start)
    await this.#client.query('truncate anomaly_metrics')
    return rate
  }

  /** Of the table, its chunks and their indexes. */
  async bytes(): Promise<number> {
    const size = this.#isHypertable
      ? `hypertable_size('anomaly_metrics')`
      : `pg_total_relation_size('anomaly_metrics')`
    const { rows } = await this.#client.query<{ bytes: string }>(`select ${size} as bytes`)
    return Number(rows[0]!.bytes)
  }

  /** Does what the ADR's policy does with chunks that are seven days old; only a hypertable can. */
  async compress(): Promise<void> {
    await this.#client.query(COMPRESSION)
    await this.#client.query(`select compress_chunk(c) from show_chunks('anomaly_metrics') c`)
  }

  async ask(question: Question): Promise<AnswerRow[]> {
    switch (question.kind) {
      case 'hours': {
        const { fromMs, toMs, select, byMetric } = question
        const { text, values } = conditions(select)
        const hour = this.#isHypertable
          ? `time_bucket('1 hour', time)`
          : `date_bin('1 hour', time, '1970-01-01Z')`
        const rows = await this.#rows(
          `select ${byMetric ? 'metric_name' : `''`}, date_part('epoch', ${hour}), count(*)::float8, sum(metric_value),
             min(metric_value), max(metric_value)
           from anomaly_metrics where time >= $1 and time < $2 ${text} group by 1, 2`,
          [new Date(fromMs), new Date(toMs), ...values],
        )
        return rows.map(([group, seconds, ...rest]) =>
          toRow(group as string, (seconds as number) * 1000, rest as number[]),
        )
      }
      case 'top': {
        const rows = await this.#rows(
          `select job_id, sum(metric_value) from anomaly_metrics
           where time >= $1 and time < $2 and metric_name = $3 group by 1 order by 2 desc, 1 limit $4`,
          [new Date(question.fromMs), new Date(question.toMs), question.metric, question.limit],
        )
        return rows.map(([job, total]) => valueRow(job as string, 0, total as number))
      }
      case 'latest': {
        const rows = await this.#rows(
          `select j.id, n.name, date_part('epoch', m.time), m.metric_value
           from unnest($1::uuid[]) j(id) cross join unnest($2::text[]) n(name) cross join lateral
             (select time, metric_value from anomaly_metrics
              where job_id = j.id and metric_name = n.name order by time desc limit 1) m`,
          [this.#workload.jobs.map(({ id }) => id), question.metrics],
        )
        return rows.map(([job, metric, seconds, value]) =>
          valueRow(`${job} ${metric}`, (seconds as number) * 1000, value as number),
        )
      }
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#client.end()
  }

  async #rows(text: string, values: unknown[]): Promise<unknown[][]> {
    return (await this.#client.query<unknown[]>({ text, values, rowMode: 'array' })).rows
  }
}

function conditions({ job, metric, host }: Selection): { text: string; values: string[] } {
  const values: string[] = []
  let text = ''
  const add = (condition: string, value: string): void => {
    text += ` and ${condition} $${values.push(value) + 2}`
  }
  if (job !== undefined) add('job_id =', job)
  if (metric !== undefined) add('metric_name =', metric)
  if (host !== undefined) add('tags @>', JSON.stringify({ host }))
  return { text, values }
}

function* lines(workload: Workload): Generator<string, void, void> {
  for (const columns of workload.batches(INSTANTS_AT_ONCE)) yield textOf(workload, columns)
}

function textOf(workload: Workload, { series, timesMs, values }: PointColumns): string {
  let text = ''
  for (let i = 0; i < series.length; i++) {
    const { id, host, region } = workload.jobOf(series[i]!)
    const metric = workload.metricOf(series[i]!)
    text += `${new Date(timesMs[i]!).toISOString()}\t${id}\t${metric}\t${values[i]}\t{"host": "${host}", "region": "${region}"}\n`
  }
  return text
}
