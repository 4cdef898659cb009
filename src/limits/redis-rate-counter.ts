import { RateLimiterMemory, RateLimiterRedis } from 'rate-limiter-flexible'
import type { Redis } from '../redis/connection.ts'
import { NO_QUOTA } from './memory-rate-counter.ts'
import type { RateCounter, WindowUse } from './rate-counter.ts'

/** What the library calls of a client: its script, on one key. */
interface ScriptClient {
  eval(script: string, options: { keys: string[]; arguments: string[] }): Promise<unknown>
}

/**
 * Counts in Redis, for all processes together. While it is away, slow or full each process counts by itself: the gate before Redis keeps that
 * from taking time.
 */
export class RedisRateCounter implements RateCounter {
  readonly #limiter: RateLimiterRedis

  constructor({ redis, prefix }: { readonly redis: Redis; readonly prefix: string }) {
    const storeClient: ScriptClient = {
      eval: (script, options) => redis.command((client) => client.eval(script, options)),
    }
    this.#limiter = new RateLimiterRedis({
      ...NO_QUOTA,
      storeClient,
      useRedisPackage: true,
      keyPrefix: `${prefix}rate`,
      insuranceLimiter: new RateLimiterMemory(NO_QUOTA),
    })
  }

  async count(key: string): Promise<WindowUse> {
    const { consumedPoints, msBeforeNext } = await this.#limiter.consume(key)
    return { used: consumedPoints, resetMs: msBeforeNext }
  }
}
