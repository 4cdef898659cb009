import type { Identities } from '../access/identities.ts'
import type { TenantScope } from '../access/tenant-scope.ts'
import type { Tenants } from '../access/tenants.ts'
import type { Cache } from '../cache/cache.ts'
import type { Connection } from '../database/connection.ts'
import type { Database, WriteOptions } from '../database/database.ts'
import type { Committed, Freshness, Position } from '../database/position.ts'
import { ABSENCES } from '../database/replicas/standby.ts'
import type { Backfills } from '../metrics/backfills.ts'
import type { MetricsEngine } from '../metrics/metrics-engine.ts'
import type { Flags } from '../flags/flags.ts'
import type { LiveEntries } from '../flags/live-entries.ts'
import type { LiveSettings } from '../flags/live-settings.ts'
import type { FailedAttempts } from '../limits/failed-attempts.ts'
import type { RateLimits } from '../limits/rate-limits.ts'
import type { Notifier } from '../notifications/notifier.ts'
import type { TaskQueue } from '../queue/task-queue.ts'
import type { Sessions } from '../sessions/sessions.ts'
import type { QuickTier } from './open-quick-tier.ts'
import { PointTags } from './point-tags.ts'
import { createRepositories, createUnitOfWork, type Repositories, type UnitOfWork } from './unit-of-work.ts'

/** The parts that {@link openStore} puts together. */
export interface StoreParts {
  readonly database: Database
  /** That of the metrics: the same, unless they are in a database of their own. */
  readonly metricsDatabase: Database
  readonly metrics: MetricsEngine
  readonly cache: Cache
  readonly backfills: Backfills
  readonly notifier: Notifier
  readonly queue: TaskQueue
  readonly identities: Identities
  readonly sessions: Sessions
  readonly tenants: Tenants
  readonly flags: Flags
  readonly liveSettings: LiveSettings
  readonly rateLimits: RateLimits
  readonly failedAttempts: FailedAttempts
  /** What keeps flags and settings up to date. */
  readonly liveEntries: LiveEntries
  /** `undefined` where no Redis is configured. */
  readonly quickTier: QuickTier | undefined
}

export interface HealthCheck {
  readonly name: 'database' | 'metrics' | 'redis' | 'replicas'
  readonly ok: boolean
  readonly detail: string
}

export interface HealthReport {
  /** `degraded`: only what needs points fails, or, without Redis or a standby, nothing but quickness. */
  readonly status: 'ready' | 'degraded' | 'not ready'
  readonly checks: readonly HealthCheck[]
}

/** The database tier as everything above sees it. */
export class Store implements AsyncDisposable {
  readonly database: Database
  /** That of the metrics: the same as `database`, unless they are in a database of their own. */
  readonly metricsDatabase: Database
  readonly metrics: MetricsEngine
  readonly cache: Cache
  /** What answers to queries of points depend on. */
  readonly pointTags: PointTags
  readonly backfills: Backfills
  readonly notifier: Notifier
  readonly queue: TaskQueue
  readonly identities: Identities
  readonly sessions: Sessions
  readonly tenants: Tenants
  readonly flags: Flags
  readonly liveSettings: LiveSettings
  readonly rateLimits: RateLimits
  readonly failedAttempts: FailedAttempts
  readonly #liveEntries: LiveEntries
  readonly #quickTier: QuickTier | undefined

  constructor(parts: StoreParts) {
    this.database = parts.database
    this.metricsDatabase = parts.metricsDatabase
    this.metrics = parts.metrics
    this.cache = parts.cache
    this.pointTags = new PointTags(parts.metrics)
    this.backfills = parts.backfills
    this.notifier = parts.notifier
    this.queue = parts.queue
    this.identities = parts.identities
    this.sessions = parts.sessions
    this.tenants = parts.tenants
    this.flags = parts.flags
    this.liveSettings = parts.liveSettings
    this.rateLimits = parts.rateLimits
    this.failedAttempts = parts.failedAttempts
    this.#liveEntries = parts.liveEntries
    this.#quickTier = parts.quickTier
  }

  /**
   * Runs work in one transaction of a tenant; answers after commit, with the position of the commit. Where nothing of it was stored the work is
   * run again, as a whole: what it changes outside of its unit it must be able to change twice, or say `retry: false`.
   */
  async transaction<T>(
    scope: TenantScope,
    work: (unit: UnitOfWork) => Promise<T>,
    signal?: AbortSignal,
    { retry = true }: Pick<WriteOptions, 'retry'> = {},
  ): Promise<Committed<T>> {
    const touched = new Set<string>()
    const committed = await this.database.transaction(
      { role: 'nomaly_app', scope, signal, retry },
      async (connection) => {
        touched.clear()
        const unit = createUnitOfWork(connection, scope, this.queue, touched)
        const value = await work(unit)
        // Where this process dies before it has told the cache, the relay does.
        if (touched.size > 0) await unit.outbox.addRaise([...touched])
        return value
      },
    )
    if (touched.size > 0) await this.cache.raise(scope, [...touched], committed.position)
    return committed
  }

  /** Repositories whose every call is a read of its own, no older than asked. */
  read(scope: TenantScope, freshness: Freshness, signal?: AbortSignal): Repositories {
    return createRepositories(
      (work) => this.database.read({ role: 'nomaly_app', scope, freshness, signal }, work),
      scope,
    )
  }

  /**
   * How to ask either database so that nothing at positions is missed, and nothing older is read than so many milliseconds. Without standbys it
   * is always the latest: there is nothing to be gained by less.
   */
  noOlder(positions: readonly Position[], maxLagMs: number): { core: Freshness; metrics: Freshness } {
    const of = ({ replicas }: Database): Freshness => replicas?.noOlder(positions, maxLagMs) ?? 'latest'
    return { core: of(this.database), metrics: of(this.metricsDatabase) }
  }

  /** Whether the metrics are in a database of their own, which may be away while the core is not. */
  get hasMetricsApart(): boolean {
    return this.metricsDatabase !== this.database
  }

  /** Looks whether metrics in a database of their own can be asked. @throws NomalyError `unavailable`. */
  async requireMetrics(signal?: AbortSignal): Promise<void> {
    if (this.hasMetricsApart)
      await this.metricsDatabase.read({ role: 'nomaly_system', freshness: 'latest', signal }, ask)
  }

  /** Whether Redis is there to be used now; `undefined` where none is configured. */
  get isRedisUp(): boolean | undefined {
    return this.#quickTier?.redis.isUp
  }

  /** Whether the parts answer, within two seconds. */
  async health(): Promise<HealthReport> {
    const [core, ...metrics] = await Promise.all([
      checkDatabase('database', this.database),
      ...(this.hasMetricsApart ? [checkDatabase('metrics', this.metricsDatabase)] : []),
    ])
    const checks = [core, ...metrics, ...this.#checkRedis(), ...this.#checkReplicas()]
    if (!core.ok) return { status: 'not ready', checks }
    return { status: checks.every(({ ok }) => ok) ? 'ready' : 'degraded', checks }
  }

  /** What it was the last time it was used or looked at, a second ago at most: a health check waits for no Redis. */
  #checkRedis(): HealthCheck[] {
    const isUp = this.isRedisUp
    if (isUp === undefined) return []
    return [{ name: 'redis', ok: isUp, detail: isUp ? 'answers' : 'is away; the product goes on without it' }]
  }

  /** What was known of standbys a moment ago: a health check waits for none of them. */
  #checkReplicas(): HealthCheck[] {
    const databases = this.hasMetricsApart ? [this.database, this.metricsDatabase] : [this.database]
    const report = databases.flatMap(({ replicas }) => replicas?.report ?? [])
    if (report.length === 0) return []
    const details = report.map(({ name, absence, lagMs }) =>
      absence === undefined
        ? `${name} is asked for reads, ${Math.round(lagMs)} ms behind`
        : `${name} is not asked: ${ABSENCES[absence]}`,
    )
    // The one that is the primary now will be a standby again, or another one is missing.
    const isWhole = report.every(({ absence }) => absence === undefined || absence === 'primary')
    return [{ name: 'replicas', ok: isWhole, detail: details.join('; ') }]
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.queue.stop(5_000)
    await this.cache[Symbol.asyncDispose]()
    await this.#liveEntries[Symbol.asyncDispose]()
    await this.notifier[Symbol.asyncDispose]()
    await this.#quickTier?.[Symbol.asyncDispose]()
    if (this.hasMetricsApart) await this.metricsDatabase[Symbol.asyncDispose]()
    await this.database[Symbol.asyncDispose]()
  }
}

async function ask(connection: Connection): Promise<void> {
  await connection.query('select 1 as one')
}

async function checkDatabase(name: HealthCheck['name'], database: Database): Promise<HealthCheck> {
  const startedAt = performance.now()
  // Taken for ill by a balancer meanwhile, this process would fail the very requests that are held up so that they do not.
  if (database.hold.isHeld) return { name, ok: true, detail: 'changes its leader; what begins waits for it' }
  try {
    await database.read(
      { role: 'nomaly_system', freshness: 'latest', signal: AbortSignal.timeout(2_000) },
      ask,
    )
    return { name, ok: true, detail: `answers in ${Math.round(performance.now() - startedAt)} ms` }
  } catch (error) {
    return { name, ok: false, detail: (error as Error).message }
  }
}
