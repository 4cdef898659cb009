import pg from 'pg'
import type { DatabaseHost } from '../config/database-url.ts'
import { type BudgetUse, ConnectionGate } from './connection-gate.ts'
import {
  CORE_DATABASE,
  type DatabaseLabel,
  isConnectionLoss,
  NotPrimary,
  toNomalyError,
  toRefusal,
} from './database-errors.ts'
import { HostedClient } from './hosted-client.ts'
import { Lease } from './lease.ts'
import { watchLeases } from './lease-watch.ts'
import { PrimaryFinder } from './primary-finder.ts'
import type { Budget, Purpose } from './purpose.ts'
import { logSlowStatements } from './slow-statements.ts'
import { watchActivity } from './statement-activity.ts'
import { TransactionHold } from './transaction-hold.ts'

export interface PoolOptions {
  readonly url: string
  /** Whether only a server that takes writes will do; as the URL says, where it is left out. */
  readonly server?: 'primary' | 'any'
  /** The same database past a pooler, for connections that keep something from one transaction to the next; `url` where it is left out. */
  readonly directUrl?: string | undefined
  /** Shown in `pg_stat_activity`. */
  readonly applicationName: string
  /** How errors name it; the core database where it is left out. */
  readonly label?: DatabaseLabel
  readonly maxConnections: number
  /** Connections that stay open when nobody uses them; all of them where it is left out. */
  readonly keptConnections?: number
  /** How long those beyond them stay open when nobody uses them. */
  readonly overflowIdleMs?: number
  /** Callers that may wait for a connection, of each budget. */
  readonly maxWaiting?: number
  /** How long a caller waits for a free connection before it is told that the database is busy. */
  readonly acquireTimeoutMs: number
  /** How old a connection becomes. */
  readonly recycleSeconds?: number
  /** How long a connection may be held without a statement. */
  readonly idleHoldMs?: number
  readonly slowStatementMs?: number
  readonly log: (message: string) => void
}

/** What one wants a connection for. */
export interface LeaseRequest {
  readonly purpose: Purpose
  readonly timeoutMs: number
  readonly mayIdle?: boolean
  readonly signal?: AbortSignal | undefined
}

/** How a pool is used at this moment. */
export interface PoolUse {
  readonly total: number
  readonly idle: number
  readonly waiting: number
  readonly max: number
  readonly budgets: Readonly<Record<Budget, BudgetUse>>
  /** Connections that were taken from who held them for too long without a statement, since the process began. */
  readonly leaks: number
}

const CONNECT_TIMEOUT_MS = 10_000
const DEFAULTS = { overflowIdleMs: 30_000, maxWaiting: 500, recycleSeconds: 3600, idleHoldMs: 30_000 }

/** The connections of a process to one database: some kept, more when they are needed, given out by budget, watched while they are held. */
export class ConnectionPool implements AsyncDisposable {
  readonly #options: PoolOptions
  readonly #pool: pg.Pool
  readonly #gate: ConnectionGate
  readonly #finder: PrimaryFinder
  readonly #direct: PrimaryFinder
  readonly #leases = new Set<Lease>()
  readonly #stopWatching: () => void
  #leaks = 0
  /** Holds up who wants a connection while the database changes its leader in order. */
  readonly hold = new TransactionHold({
    findTimeline: async () => ((await this.#finder.look()) === undefined ? undefined : this.#finder.timeline),
  })

  constructor(options: PoolOptions) {
    this.#options = options
    const { maxConnections, acquireTimeoutMs, log, label = CORE_DATABASE } = options
    this.#finder = new PrimaryFinder(options.url, options.server)
    this.#direct =
      options.directUrl === undefined ? this.#finder : new PrimaryFinder(options.directUrl, options.server)
    this.#gate = new ConnectionGate({
      max: maxConnections,
      maxWaiting: options.maxWaiting ?? DEFAULTS.maxWaiting,
      timeoutMs: acquireTimeoutMs,
      now: () => performance.now(),
      refuse: (reason, retryAfterSeconds) => toRefusal(label, reason, retryAfterSeconds),
    })
    this.#pool = new pg.Pool({
      Client: HostedClient.of(this.#finder) as never,
      application_name: options.applicationName,
      min: options.keptConnections ?? maxConnections,
      max: maxConnections,
      idleTimeoutMillis: options.overflowIdleMs ?? DEFAULTS.overflowIdleMs,
      connectionTimeoutMillis: Math.min(acquireTimeoutMs, CONNECT_TIMEOUT_MS),
      maxLifetimeSeconds: options.recycleSeconds ?? DEFAULTS.recycleSeconds,
      keepAlive: true,
      onConnect: (client) => (client as HostedClient).requirePrimary() as never,
    })
    this.#pool.on('connect', (client) => this.#watch(client))
    // An idle connection that breaks is replaced at the next use; without a listener it would end the process.
    this.#pool.on('error', (error) => log(`An idle connection to the ${label.name} broke: ${error.message}`))
    this.#stopWatching = watchLeases({
      leases: this.#leases,
      finder: this.#finder,
      idleHoldMs: options.idleHoldMs ?? DEFAULTS.idleHoldMs,
      now: () => performance.now(),
      end: (lease, ending, message) => {
        if (ending === 'idle') this.#leaks += 1
        log(`A connection to the ${label.name} was ended: ${message}`)
        lease.end(ending)
      },
    })
  }

  get use(): PoolUse {
    const { totalCount, idleCount } = this.#pool
    const budgets = this.#gate.use
    const waiting = Object.values(budgets).reduce((sum, budget) => sum + budget.waiting, 0)
    const { maxConnections: max } = this.#options
    return { total: totalCount, idle: idleCount, waiting, max, budgets, leaks: this.#leaks }
  }

  /** The most connections that a budget may have at once. */
  roomFor(budget: Budget): number {
    return this.#gate.roomFor(budget)
  }

  /** Has `listener` hear how long each who got a connection has waited for its turn, in milliseconds. */
  onWait(listener: (budget: Budget, waitedMs: number) => void): void {
    this.#gate.onWait = listener
  }

  /**
   * Waits for a connection.
   * @throws NomalyError `overloaded` where there is none in time, `unavailable`; the reason of the signal.
   */
  async lease(request: LeaseRequest): Promise<Lease> {
    await this.hold.pass(request.signal)
    const leave = await this.#gate.enter(request.purpose.budget, request.signal)
    return this.#orLeave(leave, async () => {
      const client = await this.#acquire(request.signal)
      return this.#lend(client, client.timeline, request, (isBroken) => {
        client.release(isBroken)
        leave()
      })
    })
  }

  /** Waits for a connection of its own, past a pooler where there is one; it is closed when it is given back. */
  async leaseDirect(request: LeaseRequest): Promise<Lease> {
    await this.hold.pass(request.signal)
    const leave = await this.#gate.enter(request.purpose.budget, request.signal)
    return this.#orLeave(leave, async () => {
      const deadline = AbortSignal.timeout(this.#options.acquireTimeoutMs)
      const signal = request.signal === undefined ? deadline : AbortSignal.any([request.signal, deadline])
      const client = await this.#direct.connect(
        { application_name: this.#options.applicationName, connectionTimeoutMillis: CONNECT_TIMEOUT_MS },
        signal,
      )
      this.#watch(client)
      return this.#lend(client as pg.PoolClient, this.#direct.timeline, request, () => {
        void client.end().catch(() => {})
        leave()
      })
    })
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.hold[Symbol.asyncDispose]()
    // Waits for those who hold a connection, and a leaked one is given back by who watches it.
    await this.#pool.end()
    this.#stopWatching()
  }

  async #orLeave(leave: () => void, lend: () => Promise<Lease>): Promise<Lease> {
    try {
      return await lend()
    } catch (error) {
      leave()
      throw error
    }
  }

  #lend(
    client: pg.PoolClient,
    timeline: number,
    request: LeaseRequest,
    end: (isBroken: boolean) => void,
  ): Lease {
    const { purpose, timeoutMs, mayIdle = false } = request
    // A connection that breaks while it is held fails the query in flight; the event says nothing more.
    const onClientError = (): void => {}
    client.on('error', onClientError)
    const giveBack = (isBroken: boolean): void => {
      this.#leases.delete(lease)
      client.off('error', onClientError)
      end(isBroken)
    }
    const lease: Lease = new Lease({ client, purpose, timeoutMs, mayIdle, timeline, giveBack })
    this.#leases.add(lease)
    return lease
  }

  #watch(client: pg.ClientBase): void {
    logSlowStatements(client as pg.PoolClient, this.#options)
    watchActivity(client, () => performance.now())
  }

  /** A connection of the pool; of several servers it waits for one that takes writes, as long as one waits for a connection. */
  async #acquire(signal: AbortSignal | undefined): Promise<pg.PoolClient & HostedClient> {
    const deadlineMs = performance.now() + this.#options.acquireTimeoutMs
    for (;;) {
      let host: DatabaseHost | undefined
      try {
        // Only who has to look for a server pays for a deadline: its timer costs more than all else that a lease takes.
        host = this.#finder.host ?? (await this.#finder.find(within(deadlineMs, signal)))
        const client = await this.#connect(signal)
        // Made when another server was the primary: that one may still be there, and nobody follows it any more.
        if (client.timeline >= this.#finder.timeline) return client
        client.release(true)
      } catch (error) {
        if (signal?.aborted === true) throw signal.reason
        if (host !== undefined) this.#finder.forget(host)
        const isElsewhere = error instanceof NotPrimary || isConnectionLoss(error)
        const isLate = performance.now() >= deadlineMs
        if (!this.#finder.isChoice || !isElsewhere || isLate) throw toNomalyError(error, this.#options.label)
      }
    }
  }

  /** One that comes after the caller has given up goes straight back. */
  async #connect(signal: AbortSignal | undefined): Promise<pg.PoolClient & HostedClient> {
    const connecting = this.#pool.connect() as Promise<pg.PoolClient & HostedClient>
    if (signal === undefined) return connecting
    const abandoned = Promise.withResolvers<never>()
    const abandon = (): void => abandoned.reject(signal.reason)
    signal.addEventListener('abort', abandon, { once: true })
    try {
      return await Promise.race([connecting, abandoned.promise])
    } catch (error) {
      connecting.then(
        (client) => client.release(),
        () => {},
      )
      throw error
    } finally {
      signal.removeEventListener('abort', abandon)
    }
  }
}

/** Aborts at the deadline, or as the caller does. */
function within(deadlineMs: number, signal: AbortSignal | undefined): AbortSignal {
  const deadline = AbortSignal.timeout(Math.max(0, Math.ceil(deadlineMs - performance.now())))
  return signal === undefined ? deadline : AbortSignal.any([signal, deadline])
}
