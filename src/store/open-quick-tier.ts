import type { Config } from '../config/profiles.ts'
import { invalidField } from '../errors.ts'
import type { Database } from '../database/database.ts'
import { MemoryRateCounter } from '../limits/memory-rate-counter.ts'
import type { RateCounter } from '../limits/rate-counter.ts'
import type { Notifier } from '../notifications/notifier.ts'
import { PostgresNotifier } from '../notifications/postgres-notifier.ts'
import type { Redis } from '../redis/connection.ts'
import { PostgresSessions } from '../sessions/postgres-sessions.ts'
import { Revocations } from '../sessions/revocations.ts'
import { type SessionLimits, sessionLimits } from '../sessions/session-limits.ts'
import type { SessionStore } from '../sessions/session-store.ts'
import { SessionTable } from '../sessions/session-table.ts'
import { Sessions } from '../sessions/sessions.ts'

/** What quickens the product beside its databases, and may be away at any time. */
export interface QuickTier extends AsyncDisposable {
  readonly redis: Redis
  /** What all keys and channels of this installation begin with. */
  readonly prefix: string
}

/**
 * Opens the Redis of `REDIS_URL`; `undefined` where there is none, and then not even its driver is loaded. One that is away is no reason not to
 * start.
 * @throws NomalyError `invalid_input` that names what is wrong with the settings.
 */
export async function openQuickTier(
  config: Pick<Config, 'redisUrl' | 'redisPrefix' | 'redisTimeoutMs'>,
  log: (message: string) => void,
): Promise<QuickTier | undefined> {
  const { redisUrl: url, redisPrefix: prefix, redisTimeoutMs: timeoutMs } = config
  if (url === undefined) return undefined
  // Braces would decide on which server of a Cluster the keys are; the others stand for patterns.
  if (!/^[^\s{}*?[\]\\]{1,64}$/.test(prefix))
    throw invalidField(
      'NOMALY_REDIS_PREFIX',
      'must be 1 to 64 characters, none of them a space or one of {}*?[]\\',
    )
  const { openRedis } = await import('../redis/connection.ts')
  const redis = await openRedis({ url, timeoutMs, log, clientName: 'nomaly' })
  return { redis, prefix, [Symbol.asyncDispose]: () => redis[Symbol.asyncDispose]() }
}

/** What counts requests: Redis for all processes together where there is one, this process otherwise. */
export async function openRateCounter(quickTier: QuickTier | undefined): Promise<RateCounter> {
  if (quickTier === undefined) return new MemoryRateCounter()
  const { RedisRateCounter } = await import('../limits/redis-rate-counter.ts')
  return new RedisRateCounter(quickTier)
}

/**
 * Opens what processes tell each other with: NOTIFY, and Redis beside it where there is one.
 * @throws NomalyError `invalid_input` where Redis is wanted for it and none is configured.
 */
export async function openNotifier(
  config: Pick<Config, 'notifier'>,
  databaseUrl: string,
  quickTier: QuickTier | undefined,
  log: (message: string) => void,
): Promise<Notifier> {
  if (config.notifier === 'redis' && quickTier === undefined)
    throw invalidField('NOMALY_NOTIFIER', 'is redis, and REDIS_URL names none')
  const beside = await PostgresNotifier.connect(databaseUrl, log)
  if (quickTier === undefined || config.notifier === 'postgres') return beside
  const { RedisNotifier } = await import('../notifications/redis-notifier.ts')
  return await RedisNotifier.open({ ...quickTier, beside })
}

/** What {@link openSessions} builds on; a clock may be given to it. */
export interface SessionParts {
  readonly config: Parameters<typeof sessionLimits>[0] & Pick<Config, 'sessions'>
  readonly database: Database
  readonly notifier: Notifier
  readonly quickTier: QuickTier | undefined
  readonly log: (message: string) => void
  readonly now?: () => number
}

/**
 * Opens the sessions of browsers: in PostgreSQL, and with their copies in Redis where there is one.
 * @throws NomalyError `invalid_input` where Redis is wanted for them and none is configured.
 */
export async function openSessions(parts: SessionParts): Promise<Sessions> {
  const { config, database, notifier, quickTier, log, now = Date.now } = parts
  const limits = sessionLimits(config)
  const table = new SessionTable(database, now)
  if (config.sessions === 'redis' && quickTier === undefined)
    throw invalidField('NOMALY_SESSIONS', 'is redis, and REDIS_URL names none')
  const store: SessionStore =
    quickTier === undefined || config.sessions === 'postgres'
      ? new PostgresSessions(table)
      : await openRedisSessions(quickTier, table, limits, now)
  const revocations = new Revocations(database, log, () => performance.now())
  const renew = (): void =>
    void revocations
      .renew()
      .catch((error: Error) => log(`Ended sessions could not be read: ${error.message}`))
  notifier.subscribe(({ channel }) => channel === 'keys' && renew())
  notifier.onReconnect(renew)
  return new Sessions({ database, table, store, revocations, limits, log, now })
}

async function openRedisSessions(
  { redis, prefix }: QuickTier,
  table: SessionTable,
  limits: SessionLimits,
  now: () => number,
): Promise<SessionStore> {
  const { RedisSessions } = await import('../sessions/redis-sessions.ts')
  const { noteEveryMs, rotateEveryMs } = limits
  const copyMs = Math.min(noteEveryMs, rotateEveryMs)
  return new RedisSessions({ redis, prefix, table, copyMs, noteEveryMs, now })
}
