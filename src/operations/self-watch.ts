import { statfs } from 'node:fs/promises'
import { cpus, freemem, loadavg, totalmem } from 'node:os'
import { monitorEventLoopDelay } from 'node:perf_hooks'
import type { Identity } from '../access/identity.ts'
import type { Database } from '../database/database.ts'
import { type Dataset, SELF_DATASET_NAME } from '../datasets/dataset.ts'
import { NomalyError } from '../errors.ts'
import type { SeriesKey } from '../metrics/metrics-engine.ts'
import type { Store } from '../store/store.ts'
import type { Logger } from '../telemetry/logger.ts'
import { appendPoints } from '../workflows/append-points.ts'
import { addJob } from '../workflows/manage-jobs.ts'

export interface SelfWatchOptions {
  readonly store: Store
  readonly tenantId: string
  readonly dataDirectory: string
  readonly intervalSeconds: number
  readonly logger: Logger
}

/** Table sizes cost a look at every file: once a minute is enough for something that grows by the hour. */
const SIZE_INTERVAL_MS = 60_000

interface Reading {
  readonly key: SeriesKey
  readonly value: number
}

/** Records the machine and the database that the product runs on in a dataset of its own, with a streaming job on it. */
export class SelfWatch implements AsyncDisposable {
  readonly #options: SelfWatchOptions
  readonly #identity: Identity
  readonly #eventLoop = monitorEventLoopDelay({ resolution: 20 })
  #dataset: Dataset | undefined
  #timer: NodeJS.Timeout | undefined
  #round: Promise<void> | undefined
  #lastCpu = cpuTimes()
  #sizesAt = 0
  #isStopped = false

  private constructor(options: SelfWatchOptions) {
    this.#options = options
    this.#identity = {
      scope: { tenantId: options.tenantId },
      tenantName: '',
      role: 'admin',
      actor: 'system',
      via: 'key',
      keyId: undefined,
      session: undefined,
    }
  }

  /** Starts to record, at once and then at every interval. */
  static async start(options: SelfWatchOptions): Promise<SelfWatch> {
    const watch = new SelfWatch(options)
    watch.#dataset = await watch.#prepareDataset()
    watch.#eventLoop.enable()
    watch.#tick()
    return watch
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#isStopped = true
    clearTimeout(this.#timer)
    this.#eventLoop.disable()
    await this.#round
  }

  #tick(): void {
    this.#round = this.#record()
      .catch((error: unknown) =>
        this.#options.logger.warn({ err: error }, 'the own metrics were not recorded'),
      )
      .finally(() => {
        if (this.#isStopped) return
        this.#timer = setTimeout(() => this.#tick(), this.#options.intervalSeconds * 1000).unref()
      })
  }

  async #prepareDataset(): Promise<Dataset> {
    const { store } = this.#options
    const { scope } = this.#identity
    const existing = await store.read(scope, 'latest').datasets.find(SELF_DATASET_NAME)
    if (existing !== undefined) return existing
    const { value } = await store.transaction(scope, async (unit) => {
      const dataset = await unit.datasets.create({
        name: SELF_DATASET_NAME,
        description: 'What this installation measures of its own machine and database.',
        retention: 'month',
      })
      await unit.audit.record(
        'system',
        'dataset.create',
        { kind: 'dataset', id: dataset.id },
        { name: dataset.name },
      )
      await unit.outbox.add('dataset', { id: dataset.id, change: 'created' })
      await addJob(unit, this.#identity, {
        name: 'Nomaly watches itself',
        dataset: dataset.id,
        // Some twenty series together: a budget for each that leaves their owner in peace.
        detector: { budget: { alarms: 1, perSeconds: 30 * 86_400 } },
        schedule: { kind: 'streaming' },
      })
      return dataset
    })
    return value
  }

  async #record(): Promise<void> {
    try {
      await this.#append(await this.#read())
    } catch (error) {
      if (!(error instanceof NomalyError) || error.code !== 'not_found') throw error
      // Somebody has deleted the dataset: begin anew.
      this.#dataset = await this.#prepareDataset()
    }
  }

  async #read(): Promise<Reading[]> {
    const nowMs = Date.now()
    const { store } = this.#options
    const isSizeDue = nowMs - this.#sizesAt >= SIZE_INTERVAL_MS
    const readings = [
      ...(await this.#readMachine()),
      ...(await readDatabase(store.database, {}, isSizeDue)),
      ...(store.hasMetricsApart
        ? await readDatabase(store.metricsDatabase, { database: 'metrics' }, isSizeDue)
        : []),
    ]
    if (isSizeDue) this.#sizesAt = nowMs
    return readings
  }

  async #append(readings: readonly Reading[]): Promise<void> {
    const { store } = this.#options
    const nowMs = Date.now()
    await appendPoints(store, this.#identity.scope, this.#dataset!, {
      keys: readings.map(({ key }) => key),
      series: Uint32Array.from(readings.keys()),
      timesMs: new Float64Array(readings.length).fill(nowMs),
      values: Float64Array.from(readings, ({ value }) => value),
      lines: new Uint32Array(readings.length),
      rejected: [],
      rejectedTotal: 0,
      columns: undefined,
    })
  }

  async #readMachine(): Promise<Reading[]> {
    const cpu = cpuTimes()
    const total = cpu.total - this.#lastCpu.total
    const busy = total === 0 ? 0 : 1 - (cpu.idle - this.#lastCpu.idle) / total
    this.#lastCpu = cpu
    const disk = await statfs(this.#options.dataDirectory)
    const delayMs = this.#eventLoop.percentile(99) / 1e6
    this.#eventLoop.reset()
    const { rss, heapUsed } = process.memoryUsage()
    return [
      reading('machine_cpu_used_ratio', Math.max(0, busy)),
      reading('machine_load_1m', loadavg()[0]!),
      reading('machine_memory_used_ratio', 1 - freemem() / totalmem()),
      reading('machine_disk_used_ratio', 1 - disk.bavail / disk.blocks),
      reading('process_memory_bytes', rss),
      reading('process_heap_bytes', heapUsed),
      // Less the resolution of the measurement, which an idle loop shows too.
      reading('process_event_loop_lag_ms', Math.max(0, delayMs - 20)),
    ]
  }
}

async function readDatabase(
  database: Database,
  tags: SeriesKey['tags'],
  withSizes: boolean,
): Promise<Reading[]> {
  const { total, idle, waiting } = database.poolUse
  const startedAt = performance.now()
  const rows = await database.read({ role: 'nomaly_system', freshness: 'latest' }, (connection) =>
    connection.query<{ commits: number; connections: number }>(
      `select xact_commit::float8 as commits, numbackends::float8 as connections
       from pg_stat_database where datname = current_database()`,
    ),
  )
  const latencyMs = performance.now() - startedAt
  return [
    reading('database_latency_ms', latencyMs, tags),
    reading('database_connections', rows[0]?.connections ?? Number.NaN, tags),
    reading('database_commits_total', rows[0]?.commits ?? Number.NaN, tags),
    reading('pool_connections_used', total - idle, tags),
    reading('pool_callers_waiting', waiting, tags),
    ...(withSizes ? await readSizes(database, tags) : []),
  ]
}

async function readSizes(database: Database, tags: SeriesKey['tags']): Promise<Reading[]> {
  const rows = await database.read({ role: 'nomaly_system', freshness: 'latest' }, (connection) =>
    connection.query<{ part: string; bytes: number }>(
      `select n.nspname as part, sum(pg_total_relation_size(c.oid))::float8 as bytes
       from pg_class c join pg_namespace n on n.oid = c.relnamespace
       where n.nspname in ('nomaly', 'metrics', 'pgboss') and c.relkind = 'r' group by 1`,
    ),
  )
  return rows.map(({ part, bytes }) => reading('database_table_bytes', bytes, { ...tags, schema: part }))
}

function reading(metric: string, value: number, tags: SeriesKey['tags'] = {}): Reading {
  return { key: { metric, tags }, value }
}

function cpuTimes(): { readonly idle: number; readonly total: number } {
  let idle = 0
  let total = 0
  for (const { times } of cpus()) {
    idle += times.idle
    total += times.user + times.nice + times.sys + times.idle + times.irq
  }
  return { idle, total }
}
