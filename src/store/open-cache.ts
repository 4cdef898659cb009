import { setTimeout } from 'node:timers/promises'
import type { TenantScope } from '../access/tenant-scope.ts'
import type { Cache } from '../cache/cache.ts'
import type { CacheStore } from '../cache/cache-store.ts'
import { DEFAULT_CACHE_LIMITS } from '../cache/kept-values.ts'
import { MemoryCache } from '../cache/memory-cache.ts'
import { ReadThrough } from '../cache/read-through.ts'
import type { Config } from '../config/profiles.ts'
import type { Database } from '../database/database.ts'
import type { LiveValues } from '../flags/live-settings.ts'
import type { Notifier } from '../notifications/notifier.ts'
import type { QuickTier } from './open-quick-tier.ts'
import { isPointsTag, pointsTag } from './point-tags.ts'

/** Where a process listens to PostgreSQL, it may take as long to notice that it does so no longer. */
const NOTIFY_BOUND_MS = 40_000
const TRACKED_ENTRIES = 20_000

export interface CacheParts {
  readonly config: Pick<Config, 'redisTimeoutMs' | 'cacheBytes'>
  /** What holds whenever it is read. */
  readonly live: Pick<LiveValues, 'cacheTtlSeconds'>
  readonly database: Database
  readonly metricsDatabase: Database
  readonly notifier: Notifier
  readonly quickTier: QuickTier | undefined
  /** Whether no other process writes to these databases. */
  readonly isAlone: boolean
}

/** Opens the cache: in Redis where there is one, in the memory of this process elsewhere. */
export async function openCache(parts: CacheParts): Promise<Cache> {
  const { config, live, database, metricsDatabase, quickTier } = parts
  return new ReadThrough({
    store: quickTier === undefined ? openMemory(parts) : await openShared(parts, quickTier),
    position: (tag) => (isPointsTag(tag) ? metricsDatabase : database).position(),
    limits: {
      ...DEFAULT_CACHE_LIMITS,
      localBytes: config.cacheBytes,
      get ttlSeconds() {
        return live.cacheTtlSeconds
      },
    },
    now: Date.now,
    random: Math.random,
    sleep: (ms, signal) =>
      setTimeout(ms, undefined, { ref: false, ...(signal && { signal }) }).catch(() => {}),
  })
}

async function openShared({ config }: CacheParts, { redis, prefix }: QuickTier): Promise<CacheStore> {
  const { RedisCache } = await import('../cache/redis-cache.ts')
  const tracking = redis.track({ maxEntries: TRACKED_ENTRIES })
  // Two seconds and two timeouts until the loss of the connection is noticed, and what a busy process adds to that.
  return new RedisCache({ redis, prefix, tracking, noticeBoundMs: 3_000 + 2 * config.redisTimeoutMs })
}

function openMemory({ notifier, isAlone }: CacheParts): CacheStore {
  const tell = ({ tenantId }: TenantScope, tags: readonly string[]): void => {
    for (const id of new Set(tags.map(sourceOf))) notifier.publish({ channel: 'cache', tenantId, id })
  }
  const memory = new MemoryCache({
    isAlone,
    noticeBoundMs: NOTIFY_BOUND_MS,
    ...(isAlone ? {} : { announce: tell }),
  })
  const stopHearing = notifier.subscribe(({ channel, tenantId, id }) => {
    if (channel === 'cache') memory.forget({ tenantId }, id === '' ? undefined : pointsTag(id))
  })
  const stopReconnecting = notifier.onReconnect(() => memory.forget())
  memory.onDispose(() => {
    stopHearing()
    stopReconnecting()
  })
  return memory
}

/** What a notice names: a dataset or a job whose points changed; empty for anything else of the tenant. */
function sourceOf(tag: string): string {
  const prefix = pointsTag('')
  return tag.startsWith(prefix) ? tag.slice(prefix.length) : ''
}
