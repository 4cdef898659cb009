import { RateLimiterMemory } from 'rate-limiter-flexible'
import { RATE_WINDOW_SECONDS, type RateCounter, type WindowUse } from './rate-counter.ts'

/** What the library compares with is never reached: quotas may change between two uses, so whoever asks compares. */
export const NO_QUOTA = { points: Number.MAX_SAFE_INTEGER, duration: RATE_WINDOW_SECONDS }

/** Counts in this process alone. */
export class MemoryRateCounter implements RateCounter {
  readonly #limiter = new RateLimiterMemory(NO_QUOTA)

  async count(key: string): Promise<WindowUse> {
    const { consumedPoints, msBeforeNext } = await this.#limiter.consume(key)
    return { used: consumedPoints, resetMs: msBeforeNext }
  }
}
