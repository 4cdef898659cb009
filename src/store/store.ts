import type { Identities } from '../access/identities.ts'
import type { TenantScope } from '../access/tenant-scope.ts'
import type { Tenants } from '../access/tenants.ts'
import type { Database } from '../database/database.ts'
import type { Committed, Freshness } from '../database/position.ts'
import type { MetricsEngine } from '../metrics/metrics-engine.ts'
import type { Notifier } from '../notifications/notifier.ts'
import type { TaskQueue } from '../queue/task-queue.ts'
import { createRepositories, createUnitOfWork, type Repositories, type UnitOfWork } from './unit-of-work.ts'

/** The parts that {@link openStore} puts together. */
export interface StoreParts {
  readonly database: Database
  readonly metrics: MetricsEngine
  readonly notifier: Notifier
  readonly queue: TaskQueue
  readonly identities: Identities
  readonly tenants: Tenants
}

export interface HealthReport {
  readonly ok: boolean
  readonly checks: readonly { readonly name: string; readonly ok: boolean; readonly detail: string }[]
}

/** The database tier as everything above sees it. */
export class Store implements AsyncDisposable {
  readonly database: Database
  readonly metrics: MetricsEngine
  readonly notifier: Notifier
  readonly queue: TaskQueue
  readonly identities: Identities
  readonly tenants: Tenants

  constructor(parts: StoreParts) {
    this.database = parts.database
    this.metrics = parts.metrics
    this.notifier = parts.notifier
    this.queue = parts.queue
    this.identities = parts.identities
    this.tenants = parts.tenants
  }

  /** Runs work in one transaction of a tenant; answers after commit, with the position of the commit. */
  async transaction<T>(
    scope: TenantScope,
    work: (unit: UnitOfWork) => Promise<T>,
    signal?: AbortSignal,
  ): Promise<Committed<T>> {
    return this.database.transaction({ role: 'nomaly_app', scope, signal }, (connection) =>
      work(createUnitOfWork(connection, scope, this.queue)),
    )
  }

  /** Repositories whose every call is a read of its own, no older than asked. */
  read(scope: TenantScope, freshness: Freshness, signal?: AbortSignal): Repositories {
    return createRepositories(
      (work) => this.database.read({ role: 'nomaly_app', scope, freshness, signal }, work),
      scope,
    )
  }

  /** Whether the parts answer, within two seconds. */
  async health(): Promise<HealthReport> {
    const startedAt = performance.now()
    try {
      await this.database.read(
        { role: 'nomaly_system', freshness: 'latest', signal: AbortSignal.timeout(2_000) },
        (connection) => connection.query('select 1 as one'),
      )
      const elapsedMs = Math.round(performance.now() - startedAt)
      return { ok: true, checks: [{ name: 'database', ok: true, detail: `answers in ${elapsedMs} ms` }] }
    } catch (error) {
      return { ok: false, checks: [{ name: 'database', ok: false, detail: (error as Error).message }] }
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.queue.stop(5_000)
    await this.notifier[Symbol.asyncDispose]()
    await this.database[Symbol.asyncDispose]()
  }
}
