import { randomBytes } from 'node:crypto'
import { hostname } from 'node:os'
import { withPurpose } from '../database/purpose.ts'
import { WorkerPresence } from '../jobs/worker-presence.ts'
import type { TaskHandler, TaskName } from '../queue/task-queue.ts'
import { pruneIdempotencyKeys } from '../limits/idempotency-keys.ts'
import { pruneHistory, pruneMarkers, relayOutbox, relayRaises } from '../store/relay.ts'
import type { Store } from '../store/store.ts'
import type { Logger } from '../telemetry/logger.ts'
import type { ProcessMetrics } from '../telemetry/process-metrics.ts'
import { expireFindings } from '../workflows/expire-findings.ts'
import { keepDetectorStates } from '../workflows/keep-detector-states.ts'
import { reconcile } from '../workflows/reconcile.ts'
import { recoverRuns } from '../workflows/recover-runs.ts'
import { recoverBackfills } from '../workflows/run-backfill.ts'
import { startDueRuns } from '../workflows/schedule-runs.ts'
import { wakeAllStreams, wakeStreamsOf } from '../workflows/wake-streams.ts'
import { reconcileReporter } from './reconcile-report.ts'
import { repeat, type Repetition } from './repetition.ts'
import { taskHandlers } from './task-handlers.ts'

export interface WorkerOptions {
  readonly store: Store
  /** For the connection that shows others that this worker lives. */
  readonly databaseUrl: string
  readonly concurrency: number
  readonly drainTimeoutMs: number
  readonly webhookPrivateAddresses: 'allow' | 'refuse'
  readonly logger: Logger
  readonly metrics: ProcessMetrics
  /** Series of which states of detectors are set aside for drills; of none where it is left out. */
  readonly goldenSeries?: number
}

/** What comes round and may wait: it has a small share of the connections for itself. */
const MAINTENANCE: ReadonlySet<string> = new Set([
  'abandoned backfills',
  'partitions',
  'roll-ups',
  'prune',
  'expire findings',
  'prune idempotency keys',
  'prune sessions',
  'prune metrics',
  'reconcile',
  'detector states',
])

/** Points of one dataset that arrive within this time are one piece of work. */
const GATHER_MS = 50

/** How much of the time roll-ups may be computed. */
const ROLL_UP_SHARE = 0.2

/** Does the tasks of the queue, and what comes round by the clock. Any number of workers on any number of machines. */
export class Worker implements AsyncDisposable {
  readonly id = `${hostname()}-${process.pid}-${randomBytes(4).toString('hex')}`
  readonly #options: WorkerOptions
  readonly #presence: WorkerPresence
  readonly #stopping = new AbortController()
  /** Ends early what may be long, and what anybody can go on with: a round of roll-ups, or of reconciling. */
  readonly #leavingOff = new AbortController()
  readonly #repetitions: Repetition[] = []
  /** Datasets whose streams are about to be woken, and the wake-ups that are under way. */
  readonly #gathering = new Map<string, NodeJS.Timeout>()
  readonly #waking = new Set<Promise<void>>()
  readonly #unsubscribe: (() => void)[] = []
  readonly #runsAtWork = new Set<string>()
  #relay: Repetition | undefined

  private constructor(options: WorkerOptions) {
    this.#options = options
    this.#presence = new WorkerPresence(options.databaseUrl, this.id, (message) =>
      options.logger.warn(message),
    )
  }

  /** Starts to work. */
  static async start(options: WorkerOptions): Promise<Worker> {
    const worker = new Worker(options)
    await worker.#start()
    return worker
  }

  /** Stops taking tasks, lets those in hand come to a place where another worker can go on, and ends. */
  async [Symbol.asyncDispose](): Promise<void> {
    for (const unsubscribe of this.#unsubscribe) unsubscribe()
    for (const timer of this.#gathering.values()) clearTimeout(timer)
    await Promise.all(this.#waking)
    this.#leavingOff.abort(new Error('the worker is stopping'))
    for (const repetition of this.#repetitions) await repetition.stop()
    // Tasks stop at their next checkpoint: what is stored is whole, and the next worker goes on from there.
    this.#stopping.abort(new Error('the worker is stopping'))
    await this.#options.store.queue.stop(this.#options.drainTimeoutMs)
    await this.#presence[Symbol.asyncDispose]()
  }

  async #start(): Promise<void> {
    const { store, logger } = this.#options
    // A task reads points on one connection while it stores what it found on another, in two queues: all of them must get theirs.
    const concurrency = Math.max(1, Math.min(this.#options.concurrency, roomForTasks(store)))
    await this.#presence.keep()
    const handlers = taskHandlers(this.#options, this.id, this.#runsAtWork)
    for (const name of Object.keys(handlers) as TaskName[])
      await store.queue.work(name, concurrency, this.#measured(name, handlers[name] as TaskHandler<TaskName>))

    const every = (
      name: string,
      intervalMs: number,
      work: () => Promise<unknown>,
      share?: number,
    ): Repetition => {
      const budget = MAINTENANCE.has(name) ? 'maintenance' : 'work'
      const pace = { intervalMs, ...(share === undefined ? {} : { share }) }
      const repetition = repeat(name, pace, () => withPurpose({ budget, label: name }, work), logger)
      this.#repetitions.push(repetition)
      return repetition
    }
    every('presence', 5_000, () => this.#presence.keep())
    // The outbox is looked at when a commit says so; the clock is for notices that were lost.
    this.#relay = every('relay', 10_000, () => this.#relayAll())
    every('schedule', 1_000, () =>
      startDueRuns(store, new Date(), (error) =>
        logger.warn({ err: error }, 'a scheduled job was not started'),
      ),
    )
    every('recover', 5_000, () =>
      recoverRuns(store, { id: this.id, isBusyWith: (runId) => this.#runsAtWork.has(runId) }),
    )
    every('backfills', 15_000, () => recoverBackfills(store))
    every('abandoned backfills', 3_600_000, () => store.backfills.prune(new Date()))
    every('streams', 30_000, () => wakeAllStreams(store))
    every('partitions', 3_600_000, () => store.metrics.maintain(new Date()))
    // Hours that ended, and points that came late: until they are rolled up they are answered from raw, right but slowly.
    // Points of the hour that has just ended still trickle in, and each round that meets some computes that hour again.
    every(
      'roll-ups',
      15_000,
      () => this.#untilStopped((signal) => store.metrics.rollUp(new Date(), signal)),
      ROLL_UP_SHARE,
    )
    every('prune', 3_600_000, () =>
      pruneHistory(store.database, store.liveSettings.values.eventRetentionHours),
    )
    every('expire findings', 3_600_000, () =>
      this.#untilStopped((signal) => expireFindings(store, new Date(), signal)),
    )
    every('prune idempotency keys', 3_600_000, () => pruneIdempotencyKeys(store.database))
    every('prune sessions', 3_600_000, () => store.sessions.prune())
    if (store.hasMetricsApart) every('prune metrics', 3_600_000, () => pruneMarkers(store.metricsDatabase))
    const { goldenSeries = 0 } = this.#options
    if (goldenSeries > 0)
      every('detector states', 600_000, () =>
        this.#untilStopped((signal) => keepDetectorStates(store, goldenSeries, signal)),
      )
    const report = reconcileReporter(this.#options.metrics, logger)
    every('reconcile', 3_600_000, () =>
      this.#untilStopped(async (signal) => report(await reconcile(store, signal))),
    )
    this.#unsubscribe.push(
      store.notifier.subscribe(({ channel, tenantId, id }) => {
        if (channel === 'outbox') this.#relay?.now()
        if (channel === 'points') this.#gather(tenantId, id)
      }),
      store.notifier.onReconnect(() => {
        this.#relay?.now()
        void wakeAllStreams(store).catch((error) => logger.warn({ err: error }, 'wake'))
      }),
    )
  }

  async #relayAll(): Promise<void> {
    const { database, queue, notifier, cache } = this.#options.store
    await relayRaises(database, cache)
    while (await hasOutbox(database)) if ((await relayOutbox(database, queue, notifier)) === 0) return
  }

  /** What is left undone when the worker stops, the next one does. */
  async #untilStopped(work: (signal: AbortSignal) => Promise<unknown>): Promise<void> {
    const { signal } = this.#leavingOff
    try {
      await work(signal)
    } catch (error) {
      if (!signal.aborted) throw error
    }
  }

  #gather(tenantId: string, datasetId: string): void {
    const key = `${tenantId} ${datasetId}`
    if (this.#gathering.has(key)) return
    const wake = (): void => {
      this.#gathering.delete(key)
      const waking = withPurpose({ budget: 'work', label: 'wake streams' }, () =>
        wakeStreamsOf(this.#options.store, { tenantId }, datasetId),
      )
        .catch((error) => this.#options.logger.warn({ err: error }, 'streaming jobs were not woken'))
        .finally(() => this.#waking.delete(waking))
      this.#waking.add(waking)
    }
    this.#gathering.set(key, setTimeout(wake, GATHER_MS).unref())
  }

  #measured<N extends TaskName>(name: N, handler: TaskHandler<N>): TaskHandler<N> {
    const { metrics, logger } = this.#options
    return async (payload, signal) => {
      const end = metrics.taskSeconds.startTimer({ task: name })
      try {
        await withPurpose({ budget: 'work', label: name }, () =>
          handler(payload, AbortSignal.any([signal, this.#stopping.signal])),
        )
        end({ outcome: 'done' })
      } catch (error) {
        end({ outcome: 'failed' })
        if (!this.#stopping.signal.aborted)
          logger.warn({ err: error, task: name }, 'a task failed and will be tried again')
        throw error
      }
    }
  }
}

async function hasOutbox(database: Store['database']): Promise<boolean> {
  const rows = await database.read({ role: 'nomaly_system', freshness: 'latest' }, (connection) =>
    connection.query<{ yes: boolean }>('select exists(select from nomaly.outbox) as yes'),
  )
  return rows[0]?.yes === true
}

/** How many tasks of each of the two queues that read points may be at work, so that each gets all the connections it needs. */
function roomForTasks({ database, metricsDatabase, hasMetricsApart }: Store): number {
  if (!hasMetricsApart) return Math.floor(database.roomFor('work') / 4)
  return Math.floor(Math.min(database.roomFor('work'), metricsDatabase.roomFor('work')) / 2)
}
