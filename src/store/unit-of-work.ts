import { ApiKeyRepository } from '../access/api-key-repository.ts'
import { AuditLog } from '../access/audit-log.ts'
import { SignInLinks } from '../access/sign-in-links.ts'
import type { TenantScope } from '../access/tenant-scope.ts'
import { AnomalyRepository } from '../anomalies/anomaly-repository.ts'
import { isCacheTag } from '../cache/cache.ts'
import type { Connection, Executor } from '../database/connection.ts'
import { DatasetRepository } from '../datasets/dataset-repository.ts'
import { DetectorRepository } from '../detectors/detector-repository.ts'
import { DetectorStateRepository } from '../jobs/detector-state-repository.ts'
import { JobRepository } from '../jobs/job-repository.ts'
import { RunRepository } from '../jobs/run-repository.ts'
import { IdempotencyKeys } from '../limits/idempotency-keys.ts'
import type { TaskName, TaskPayloads, TaskQueue } from '../queue/task-queue.ts'
import { SettingRepository } from '../settings/setting-repository.ts'
import { FlagRepository } from '../flags/flag-repository.ts'
import { EventRepository } from './event-repository.ts'
import { Outbox } from './outbox.ts'

/** Everything that is kept of one tenant, except its points. */
export interface Repositories {
  readonly apiKeys: ApiKeyRepository
  readonly audit: AuditLog
  readonly settings: SettingRepository
  readonly datasets: DatasetRepository
  readonly detectors: DetectorRepository
  readonly jobs: JobRepository
  readonly runs: RunRepository
  readonly detectorStates: DetectorStateRepository
  readonly anomalies: AnomalyRepository
  readonly events: EventRepository
  readonly flags: FlagRepository
  readonly idempotencyKeys: IdempotencyKeys
}

/** Sends tasks that exist if and only if the unit of work commits. */
export interface UnitQueue {
  /** @param key at most one task of the same key waits at a time. */
  send<N extends TaskName>(name: N, payload: TaskPayloads[N], key: string): Promise<void>
}

/** What can be done inside one transaction. */
export interface UnitOfWork extends Repositories {
  readonly queue: UnitQueue
  readonly outbox: Outbox
  readonly signInLinks: SignInLinks
  /** Says what this transaction changes of what may be cached: from its commit on, nobody reads what was before. */
  touches(...tags: readonly string[]): void
  /** Runs work that may fail without taking the rest of the transaction along. */
  savepoint<T>(work: (unit: UnitOfWork) => Promise<T>): Promise<T>
}

/** The repositories over one way of running statements. */
export function createRepositories(run: Executor, scope: TenantScope): Repositories {
  return {
    apiKeys: new ApiKeyRepository(run, scope),
    audit: new AuditLog(run, scope),
    settings: new SettingRepository(run, scope),
    datasets: new DatasetRepository(run, scope),
    detectors: new DetectorRepository(run, scope),
    jobs: new JobRepository(run, scope),
    runs: new RunRepository(run, scope),
    detectorStates: new DetectorStateRepository(run, scope),
    anomalies: new AnomalyRepository(run, scope),
    events: new EventRepository(run),
    flags: new FlagRepository(run, scope.tenantId),
    idempotencyKeys: new IdempotencyKeys(run, scope),
  }
}

/** A unit of work on the connection of an open transaction of the tenant. */
export function createUnitOfWork(
  connection: Connection,
  scope: TenantScope,
  queue: TaskQueue,
  touched: Set<string>,
): UnitOfWork {
  const run: Executor = (work) => work(connection)
  const unit: UnitOfWork = {
    ...createRepositories(run, scope),
    outbox: new Outbox(run, scope),
    signInLinks: new SignInLinks(run, scope),
    queue: {
      send: (name, payload, key) => queue.send(connection, name, payload, { key, back: 'nomaly_app' }),
    },
    touches: (...tags) => {
      for (const tag of tags) {
        if (!isCacheTag(tag)) throw new Error(`"${tag}" is not a tag of the cache`)
        touched.add(tag)
      }
    },
    savepoint: async (work) => {
      await connection.query('savepoint unit')
      try {
        const value = await work(unit)
        await connection.query('release savepoint unit')
        return value
      } catch (error) {
        await connection.query('rollback to savepoint unit')
        throw error
      }
    },
  }
  return unit
}
