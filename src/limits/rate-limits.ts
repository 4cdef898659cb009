import type { Identity } from '../access/identity.ts'
import type { Config } from '../config/profiles.ts'
import { NomalyError } from '../errors.ts'
import { principalOf } from './principal.ts'
import { RATE_WINDOW_SECONDS, type RateCounter } from './rate-counter.ts'

/** Requests that are counted together: `points` brings points in, `expensive` aggregates, exports or detects. */
export type LimitClass = 'reads' | 'writes' | 'points' | 'expensive'

/** Requests in a minute of one key or browser, by class, and how many such keys' worth a tenant has; 0 is no limit. Asked anew each time. */
export type RateQuotas = Pick<
  Config,
  | 'rateReadsPerMinute'
  | 'rateWritesPerMinute'
  | 'ratePointsPerMinute'
  | 'rateExpensivePerMinute'
  | 'rateTenantKeys'
>

/** Where a caller stands with one limit. */
export interface LimitState {
  readonly name: string
  readonly quota: number
  /** Uses that are left in this window; negative where there was one too many. */
  readonly left: number
  readonly resetMs: number
}

const QUOTAS = {
  reads: 'rateReadsPerMinute',
  writes: 'rateWritesPerMinute',
  points: 'ratePointsPerMinute',
  expensive: 'rateExpensivePerMinute',
} as const satisfies Record<LimitClass, keyof RateQuotas>

/** Those that were refused and need not be counted again before their window ends. */
const MOST_REFUSED = 10_000

/** How often keys, browsers and tenants may ask. */
export class RateLimits {
  readonly #counter: RateCounter
  readonly #quotas: RateQuotas
  readonly #now: () => number
  readonly #refused = new Map<string, { readonly quota: number; readonly untilMs: number }>()

  /** @param now milliseconds that never go back. */
  constructor(counter: RateCounter, quotas: RateQuotas, now: () => number = () => performance.now()) {
    this.#counter = counter
    this.#quotas = quotas
    this.#now = now
  }

  /** Counts a request, and answers where its key and its tenant stand. */
  async take(identity: Identity, limitClass: LimitClass): Promise<LimitState[]> {
    const quota = this.#quotas[QUOTAS[limitClass]]
    if (quota === 0) return []
    const { tenantId } = identity.scope
    const ofTenant = quota * this.#quotas.rateTenantKeys
    const own = this.#count(limitClass, quota, `${limitClass}:${principalOf(identity)}`)
    if (ofTenant === 0) return [await own]
    return Promise.all([
      own,
      this.#count(`tenant-${limitClass}`, ofTenant, `${limitClass}:tenant:${tenantId}`),
    ])
  }

  async #count(name: string, quota: number, key: string): Promise<LimitState> {
    const refused = this.#refused.get(key)
    if (refused !== undefined) {
      const resetMs = refused.untilMs - this.#now()
      if (refused.quota === quota && resetMs > 0) return { name, quota, left: -1, resetMs }
      this.#refused.delete(key)
    }
    const { used, resetMs } = await this.#counter.count(key)
    if (used > quota) {
      if (this.#refused.size >= MOST_REFUSED) this.#refused.clear()
      this.#refused.set(key, { quota, untilMs: this.#now() + resetMs })
    }
    return { name, quota, left: quota - used, resetMs }
  }
}

/** The error for a request that was one too many; `undefined` where it was not. */
export function refusal(states: readonly LimitState[]): NomalyError | undefined {
  const over = states.filter(({ left }) => left < 0).toSorted((a, b) => b.resetMs - a.resetMs)[0]
  if (over === undefined) return undefined
  const whose = over.name.startsWith('tenant-') ? 'the keys of this tenant together' : 'this key'
  return new NomalyError(
    'rate_limited',
    `More than ${over.quota} requests in a minute (${over.name}) by ${whose}.`,
    {
      hint: 'Wait as long as Retry-After says, and send fewer or larger requests.',
      retryAfterSeconds: Math.max(1, Math.ceil(over.resetMs / 1000)),
    },
  )
}

/** The headers `RateLimit-Policy` and `RateLimit` (draft-ietf-httpapi-ratelimit-headers-10). */
export function rateLimitHeaders(states: readonly LimitState[]): { policy: string; limit: string } {
  return {
    policy: states.map(({ name, quota }) => `"${name}";q=${quota};w=${RATE_WINDOW_SECONDS}`).join(', '),
    limit: states
      .map(({ name, left, resetMs }) => `"${name}";r=${Math.max(0, left)};t=${Math.ceil(resetMs / 1000)}`)
      .join(', '),
  }
}
