import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import pg from 'pg'
import { onTestFinished } from 'vitest'
import { createLogger } from '../../src/telemetry/logger.ts'
import { createProcessMetrics } from '../../src/telemetry/process-metrics.ts'
import { openStore } from '../../src/store/open-store.ts'
import type { Store } from '../../src/store/store.ts'
import { Worker } from '../../src/worker/worker.ts'
import { normal } from '../detection/synthetic-series.ts'
import type { JsonAnswer } from '../support/json-answer.ts'
import { eventually, startTestNomaly, testConfig, type TestNomaly } from '../support/nomaly.ts'

const MAIN = join(import.meta.dirname, '..', '..', 'src', 'cli', 'main.ts')
const START_MS = Date.UTC(2025, 2, 3)
const STEP_MS = 60_000

/** A finding without what differs between two jobs over the same data by nature. */
export type BareFinding = Record<string, unknown>

const BY_NATURE = new Set(['id', 'jobId', 'runId', 'createdAt', 'updatedAt'])

/** An installation without a worker, to which workers are added and taken away. */
export class WorkerFixture {
  readonly nomaly: TestNomaly

  private constructor(nomaly: TestNomaly) {
    this.nomaly = nomaly
  }

  static async open(): Promise<WorkerFixture> {
    const nomaly = await startTestNomaly({ worker: false })
    onTestFinished(() => nomaly[Symbol.asyncDispose]())
    return new WorkerFixture(nomaly)
  }

  /** A worker in this process, with a store of its own, as another process would have it. */
  async startWorker(
    databaseUrl: string = this.nomaly.databaseUrl,
  ): Promise<{ worker: Worker; store: Store }> {
    const store = await openStore(testConfig({ acquireTimeoutMs: 2_000 }), databaseUrl, () => {})
    onTestFinished(() => store[Symbol.asyncDispose]())
    const worker = await Worker.start({
      store,
      databaseUrl,
      concurrency: 2,
      drainTimeoutMs: 5_000,
      webhookPrivateAddresses: 'refuse',
      logger: createLogger('silent'),
      metrics: createProcessMetrics(store),
    })
    onTestFinished(() => worker[Symbol.asyncDispose]())
    return { worker, store }
  }

  /** `nomaly worker` as a process of its own. */
  async spawnWorker(): Promise<ChildProcess> {
    const folder = await mkdtemp(join(tmpdir(), 'nomaly-worker-'))
    const child = spawn(process.execPath, [MAIN, 'worker'], {
      cwd: folder,
      stdio: ['ignore', 'ignore', 'pipe'],
      env: {
        PATH: process.env['PATH'],
        HOME: folder,
        DATABASE_URL: this.nomaly.databaseUrl,
        NOMALY_DATA_DIR: join(folder, 'data'),
        NOMALY_DRAIN_TIMEOUT_MS: '5000',
      },
    })
    onTestFinished(async () => {
      if (child.exitCode === null && child.signalCode === null) {
        child.kill('SIGKILL')
        await once(child, 'exit')
      }
      await rm(folder, { recursive: true, force: true })
    })
    let said = ''
    child.stderr.on('data', (text: Buffer) => (said += text.toString()))
    await eventually(async () => {
      if (child.exitCode !== null) throw new Error(`The worker ended: ${said}`)
      return said.includes('is working')
    })
    return child
  }

  async admin<Row extends pg.QueryResultRow>(text: string, values?: unknown[]): Promise<Row[]> {
    const client = new pg.Client({ connectionString: this.nomaly.database.adminUrl })
    await client.connect()
    try {
      return (await client.query<Row>(text, values)).rows
    } finally {
      await client.end()
    }
  }

  /** From now on storing what a detector has learnt takes this long, so that there is time to look, cancel and kill. */
  async slowDown(seconds: number): Promise<void> {
    await this.admin(`
      create or replace function public.dawdle() returns trigger language plpgsql as $$
        begin perform pg_sleep(${seconds}); return new; end $$;
      create or replace trigger dawdle before insert or update on nomaly.detector_states
        for each row execute function public.dawdle()`)
  }

  async ask(method: string, path: string, body?: unknown): Promise<JsonAnswer> {
    const answer = await this.nomaly.request(method, path, body === undefined ? {} : { body })
    if (answer.status >= 300)
      throw new Error(`${method} ${path}: ${answer.status} ${JSON.stringify(answer.body)}`)
    return answer.body
  }

  async createDataset(name: string): Promise<void> {
    await this.ask('POST', '/v1/datasets', { name })
  }

  /** Adds points `from` to `to` of a noisy series with a spike at every thousandth. */
  async load(dataset: string, metric: string, from: number, to: number): Promise<void> {
    const noise = normal(metric.length * 31 + metric.charCodeAt(0))
    const lines: string[] = []
    for (let index = 0; index < to; index++) {
      const value = 100 + 3 * noise() + (index % 1000 === 999 ? 90 : 0)
      if (index >= from) lines.push(JSON.stringify({ time: START_MS + index * STEP_MS, metric, value }))
    }
    const answer = await this.nomaly.request('POST', `/v1/datasets/${dataset}/points`, {
      body: lines.join('\n'),
      headers: { 'content-type': 'application/x-ndjson' },
    })
    if (answer.body.inserted !== to - from)
      throw new Error(`Not all points went in: ${JSON.stringify(answer.body)}`)
  }

  async createJob(dataset: string, schedule: object = { kind: 'once' }, detector?: object): Promise<string> {
    const body = { dataset, schedule, ...(detector === undefined ? {} : { detector }) }
    return (await this.ask('POST', '/v1/jobs', body)).id
  }

  async job(id: string): Promise<JsonAnswer> {
    return this.ask('GET', `/v1/jobs/${id}`)
  }

  async untilStatus(id: string, status: string, timeoutMs = 25_000): Promise<JsonAnswer> {
    return eventually(async () => {
      const job = await this.job(id)
      if (job.status === 'failed' && status !== 'failed') throw new Error(JSON.stringify(job.lastRun))
      return job.status === status && job
    }, timeoutMs)
  }

  /** Waits until a run, also one that stays open, has seen so many points. */
  async untilScanned(id: string, points: number, timeoutMs = 25_000): Promise<JsonAnswer> {
    return eventually(async () => {
      const { lastRun } = await this.job(id)
      return lastRun !== null && lastRun.pointsScanned >= points && lastRun
    }, timeoutMs)
  }

  async findings(jobId: string): Promise<BareFinding[]> {
    const { items, nextCursor } = await this.ask('GET', `/v1/anomalies?jobId=${jobId}&limit=500`)
    if (nextCursor !== null) throw new Error('There are more findings than one page holds.')
    return (items as BareFinding[])
      .map((item) => Object.fromEntries(Object.entries(item).filter(([field]) => !BY_NATURE.has(field))))
      .toSorted((a, b) => (sortKey(a) < sortKey(b) ? -1 : 1))
  }
}

function sortKey({ metric, startedAt }: BareFinding): string {
  return `${String(metric)} ${String(startedAt)}`
}
