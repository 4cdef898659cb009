import { statSync } from 'node:fs'
import { DatabaseSync } from 'node:sqlite'
import {
  type AnswerRow,
  type Question,
  type QuestionId,
  type Selection,
  toRow,
  valueRow,
} from './question.ts'
import type { Side } from './side.ts'
import type { Workload } from './workload.ts'

const ROWS_AT_ONCE = 10_000

/** How SQLite may be told to go about a table. */
type Plan = '' | 'not indexed' | 'indexed by metrics_time' | 'indexed by metrics_job'

type Cell = string | number

/**
 * SQLite with the columns of the ADR's table, times and ids as SQLAlchemy writes them there, and the ADR's indexes on
 * time and on job.
 */
export class SqliteSide implements Side {
  readonly name = 'SQLite'
  readonly #path: string
  readonly #database: DatabaseSync
  readonly #workload: Workload
  readonly #plans = new Map<QuestionId, Plan>()

  constructor(path: string, workload: Workload) {
    this.#path = path
    this.#workload = workload
    this.#database = new DatabaseSync(path)
    // As much memory as the embedded PostgreSQL gets; the system's page cache holds the rest of either.
    this.#database.exec('pragma journal_mode = wal; pragma synchronous = normal; pragma cache_size = -131072')
    this.#database.exec(`
      create table anomaly_metrics (
        time timestamp not null, job_id char(36) not null, metric_name text not null, metric_value double not null, tags json);
      create index metrics_time on anomaly_metrics (time);
      create index metrics_job on anomaly_metrics (job_id, time desc);
      create table jobs (id char(36) primary key) without rowid`)
    const insert = this.#database.prepare('insert into jobs values (?)')
    for (const { id } of workload.jobs) insert.run(id)
  }

  get version(): string {
    return process.versions['sqlite'] ?? 'unknown'
  }

  /** Inserts the workload, 10,000 rows in a transaction, each by a prepared statement; answers how long that took. */
  load(): number {
    const workload = this.#workload
    const insert = this.#database.prepare('insert into anomaly_metrics values (?, ?, ?, ?, ?)')
    const tags = workload.jobs.map(({ host, region }) => JSON.stringify({ host, region }))
    let elapsedMs = 0
    for (const { series, timesMs, values } of workload.batches(ROWS_AT_ONCE / workload.series)) {
      const times = new Map([...new Set(timesMs)].map((timeMs) => [timeMs, toText(timeMs)]))
      const start = performance.now()
      this.#database.exec('begin')
      for (let i = 0; i < series.length; i++) {
        const job = Math.floor(series[i]! / workload.metrics.length)
        insert.run(
          times.get(timesMs[i]!)!,
          workload.jobs[job]!.id,
          workload.metricOf(series[i]!),
          values[i]!,
          tags[job]!,
        )
      }
      this.#database.exec('commit')
      elapsedMs += performance.now() - start
    }
    // As the other sides are vacuumed: it is a quarter smaller for it.
    this.#database.exec('vacuum; analyze; pragma wal_checkpoint(truncate)')
    return elapsedMs
  }

  /** Of the table and its indexes, which are all there is. */
  bytes(): number {
    return statSync(this.#path).size
  }

  /** Finds for each question which of the plans is fastest, and answers them in the words of `indexed by`. */
  choosePlans(questions: readonly Question[]): Map<QuestionId, Plan> {
    for (const question of questions) {
      const tried = plansFor(question).map((plan) => {
        const elapsed = Array.from({ length: 2 }, () => {
          const start = performance.now()
          this.#answer(question, plan)
          return performance.now() - start
        })
        return { plan, elapsedMs: Math.min(...elapsed) }
      })
      this.#plans.set(question.id, tried.reduce((a, b) => (b.elapsedMs < a.elapsedMs ? b : a)).plan)
    }
    return this.#plans
  }

  async ask(question: Question): Promise<AnswerRow[]> {
    return this.#answer(question, this.#plans.get(question.id) ?? '')
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#database.close()
  }

  #answer(question: Question, plan: Plan): AnswerRow[] {
    switch (question.kind) {
      case 'hours': {
        const { fromMs, toMs, byMetric, select } = question
        const { text, values } = conditions(select)
        const group = byMetric ? 'metric_name' : `''`
        return this.#all(
          // A prefix of the text is the hour: no function of dates is as fast.
          `select ${group}, substr(time, 1, 13) as hour, count(*), sum(metric_value), min(metric_value), max(metric_value)
           from anomaly_metrics ${plan} where time >= ? and time < ? ${text} group by ${byMetric ? '1, 2' : '2'}`,
          [toText(fromMs), toText(toMs), ...values],
        ).map(([name, hour, ...rest]) => toRow(name as string, fromHour(hour as string), rest as number[]))
      }
      case 'top':
        return this.#all(
          `select job_id, sum(metric_value) as total from anomaly_metrics ${plan}
           where time >= ? and time < ? and metric_name = ? group by 1 order by 2 desc, 1 limit ?`,
          [toText(question.fromMs), toText(question.toMs), question.metric, question.limit],
        ).map(([job, total]) => valueRow(job as string, 0, total as number))
      case 'latest':
        return question.metrics.flatMap((metric) =>
          this.#all(
            `select j.id, m.time, m.metric_value from jobs j join anomaly_metrics m on m.rowid =
               (select rowid from anomaly_metrics ${plan} where job_id = j.id and metric_name = ? order by time desc limit 1)`,
            [metric],
          ).map(([job, time, value]) =>
            valueRow(`${job} ${metric}`, fromText(time as string), value as number),
          ),
        )
    }
  }

  #all(text: string, values: readonly Cell[]): Cell[][] {
    const statement = this.#database.prepare(text)
    statement.setReturnArrays(true)
    return statement.all(...values) as unknown as Cell[][]
  }
}

/** All that could be fastest: what its planner chooses, and the other ways that do not read the table in random order. */
function plansFor(question: Question): Plan[] {
  const isOfJobs =
    question.kind === 'latest' || (question.kind === 'hours' && question.select.job !== undefined)
  return isOfJobs ? ['', 'indexed by metrics_job'] : ['', 'not indexed', 'indexed by metrics_time']
}

function conditions({ job, metric, host }: Selection): { text: string; values: string[] } {
  const parts: [string, string][] = []
  if (job !== undefined) parts.push(['job_id = ?', job])
  if (metric !== undefined) parts.push(['metric_name = ?', metric])
  if (host !== undefined) parts.push([`tags ->> '$.host' = ?`, host])
  return { text: parts.map(([text]) => `and ${text}`).join(' '), values: parts.map(([, value]) => value) }
}

function toText(timeMs: number): string {
  return new Date(timeMs).toISOString().replace('T', ' ').replace('Z', '000')
}

function fromText(text: string): number {
  return Date.parse(`${text.slice(0, 23).replace(' ', 'T')}Z`)
}

function fromHour(hour: string): number {
  return Date.parse(`${hour.replace(' ', 'T')}:00:00Z`)
}
