import type { Config } from '../config/profiles.ts'
import { invalidField } from '../errors.ts'
import type { Redis } from '../redis/connection.ts'

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
