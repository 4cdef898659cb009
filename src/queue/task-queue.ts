import { PgBoss, type Queue } from 'pg-boss'
import type { Connection } from '../database/connection.ts'
import { QueueConnections } from './queue-connections.ts'

/** The kinds of tasks, and what each carries. */
export interface TaskPayloads {
  /** Executes a run of a job that is not streaming. */
  'run-detection': { readonly tenantId: string; readonly runId: string }
  /** Takes a streaming job over the points that have come since. */
  'advance-stream': { readonly tenantId: string; readonly jobId: string }
  /** Puts what a backfill has gathered where points are. */
  'run-backfill': { readonly tenantId: string; readonly backfillId: string }
  /** Removes the points of a dataset that is gone. */
  'drop-source': { readonly tenantId: string; readonly sourceId: string }
  /** Calls a tenant's webhook about one finding. */
  'deliver-webhook': { readonly tenantId: string; readonly anomalyId: string; readonly deliveryId: string }
}

export type TaskName = keyof TaskPayloads

export type TaskHandler<N extends TaskName> = (payload: TaskPayloads[N], signal: AbortSignal) => Promise<void>

/** Work of up to a day, which goes on where it was when it is tried again; a worker that dies is missed by its heartbeat. */
const HOURS_OF_WORK: Omit<Queue, 'name'> = {
  policy: 'short',
  notify: true,
  retryLimit: 10,
  retryDelay: 1,
  retryBackoff: true,
  retryDelayMax: 30,
  expireInSeconds: 86_000,
  heartbeatSeconds: 30,
  deleteAfterSeconds: 3_600,
}

/**
 * `short` keeps at most one task of a key waiting: a hundred notices of new points are one piece of work.
 * How often a task is tried, and how patiently, depends on whether it calls the outside world.
 */
const QUEUES: Readonly<Record<TaskName, Omit<Queue, 'name'>>> = {
  'run-detection': HOURS_OF_WORK,
  'advance-stream': {
    policy: 'short',
    notify: true,
    retryLimit: 3,
    retryDelay: 1,
    retryBackoff: true,
    retryDelayMax: 30,
    expireInSeconds: 3_600,
    heartbeatSeconds: 30,
    deleteAfterSeconds: 60,
  },
  'run-backfill': HOURS_OF_WORK,
  'drop-source': {
    policy: 'short',
    notify: true,
    retryLimit: 20,
    retryDelay: 5,
    retryBackoff: true,
    retryDelayMax: 3_600,
    expireInSeconds: 3_600,
    deleteAfterSeconds: 3_600,
  },
  'deliver-webhook': {
    policy: 'short',
    notify: true,
    retryLimit: 12,
    retryDelay: 2,
    retryBackoff: true,
    retryDelayMax: 3_600,
    expireInSeconds: 60,
    deleteAfterSeconds: 86_400,
  },
}

/** Tasks kept in PostgreSQL: sent inside the transaction they follow from, done at least once. */
export class TaskQueue {
  readonly #boss: PgBoss
  readonly #connections: QueueConnections
  readonly #log: (message: string) => void
  #started = false
  #isClosed = false

  constructor(url: string, log: (message: string) => void) {
    this.#log = log
    this.#connections = new QueueConnections(url, log)
    this.#boss = new PgBoss({
      db: this.#connections,
      schema: 'pgboss',
      migrate: false,
      createSchema: false,
      schedule: false,
      registerInstance: false,
      useListenNotify: true,
      superviseIntervalSeconds: 15,
      monitorIntervalSeconds: 15,
    })
    this.#boss.on('error', (error) => this.#log(`The queue reports: ${error.message}`))
  }

  /** Connects, and makes the queues where they are missing. */
  async start(): Promise<void> {
    await this.#boss.start()
    for (const [name, options] of Object.entries(QUEUES)) await this.#boss.createQueue(name, options)
    this.#started = true
  }

  /** Sends a task in the transaction of `connection`: it exists if and only if that commits. */
  async send<N extends TaskName>(
    connection: Connection,
    name: N,
    payload: TaskPayloads[N],
    options: {
      readonly key: string
      readonly back: 'nomaly_app' | 'nomaly_system'
    },
  ): Promise<void> {
    await connection.as('nomaly_system', options.back, () =>
      this.#boss.send(name, payload, {
        singletonKey: options.key,
        db: { executeSql: async (text, values) => connection.client.query(text, values as unknown[]) },
      }),
    )
  }

  /** Works on tasks of one kind, some at once, until {@link stop}. */
  async work<N extends TaskName>(name: N, concurrency: number, handler: TaskHandler<N>): Promise<void> {
    for (let i = 0; i < concurrency; i++) await this.#workOneByOne(name, handler)
  }

  async #workOneByOne<N extends TaskName>(name: N, handler: TaskHandler<N>): Promise<void> {
    let id: string | undefined
    id = await this.#boss.work<TaskPayloads[N]>(
      name,
      { batchSize: 1, pollingIntervalSeconds: 2, notifyPollingIntervalSeconds: 5 },
      async (tasks) => {
        try {
          for (const task of tasks) await handler(task.data, task.signal)
        } finally {
          // Otherwise it would wait out its interval after each task, even with a thousand more waiting.
          if (id !== undefined) this.#boss.notifyWorker(id)
        }
      },
    )
  }

  /** Stops taking tasks, and waits for those in hand. */
  async stop(timeoutMs: number): Promise<void> {
    if (this.#isClosed) return
    this.#isClosed = true
    if (this.#started) await this.#boss.stop({ graceful: true, timeout: timeoutMs })
    await this.#connections.close()
  }
}
