import { createHash } from 'node:crypto'
import { isIPv4 } from 'node:net'
import type { Config } from '../config/profiles.ts'
import type { Database } from '../database/database.ts'
import { NomalyError } from '../errors.ts'
import { RATE_WINDOW_SECONDS, type RateCounter } from './rate-counter.ts'

export interface FailedAttemptsOptions {
  readonly counter: RateCounter
  /** Asked anew each time. */
  readonly quotas: Pick<Config, 'rateFailuresPerMinute'>
  readonly database: Database
  readonly log: (message: string) => void
  /** Milliseconds that never go back. */
  readonly now?: () => number
}

const MOST_REMEMBERED = 10_000

/** Slows down whoever tries keys, links or cookies that are none, by address. */
export class FailedAttempts {
  readonly #options: FailedAttemptsOptions
  readonly #now: () => number
  readonly #slowed = new Map<string, number>()
  /** Credentials that were good: they stay so behind an address that somebody else guesses from. */
  readonly #good = new Set<string>()
  /** Hashes of wrong ones that were counted, and until when they are not again: who repeats what he has does not guess. */
  readonly #counted = new Map<string, number>()

  constructor(options: FailedAttemptsOptions) {
    this.#options = options
    this.#now = options.now ?? ((): number => performance.now())
  }

  /** Lets a credential be looked at. @throws NomalyError `rate_limited` where the address has had too many that were wrong. */
  admit(ip: string, credential: string): void {
    if (this.#slowed.size === 0) return
    const network = networkOf(ip)
    const untilMs = this.#slowed.get(network)
    if (untilMs === undefined || this.#good.has(credential)) return
    const waitMs = untilMs - this.#now()
    if (waitMs <= 0) {
      this.#slowed.delete(network)
      return
    }
    throw new NomalyError('rate_limited', 'Too many wrong keys or links came from this address.', {
      hint: 'Wait as long as Retry-After says. Keys that were in use here before are still taken.',
      retryAfterSeconds: Math.max(1, Math.ceil(waitMs / 1000)),
    })
  }

  /** Notes that a credential was good. */
  succeeded(credential: string): void {
    if (credential === '' || this.#good.has(credential)) return
    if (this.#good.size >= MOST_REMEMBERED) this.#good.delete(this.#good.values().next().value!)
    this.#good.add(credential)
  }

  /** Counts one that was wrong; what one too many of them means is written down once in a minute, whichever process it comes to. */
  async failed(ip: string, credential: string): Promise<void> {
    this.#good.delete(credential)
    const quota = this.#options.quotas.rateFailuresPerMinute
    if (quota === 0 || !this.#isNew(credential)) return
    const network = networkOf(ip)
    const { used, resetMs } = await this.#options.counter.count(`failures:${network}`)
    if (used <= quota) return
    if (this.#slowed.size >= MOST_REMEMBERED) this.#slowed.clear()
    this.#slowed.set(network, this.#now() + resetMs)
    if (used === quota + 1) this.#tell(network, quota)
  }

  #isNew(credential: string): boolean {
    const hash = createHash('sha256').update(credential).digest('base64')
    const now = this.#now()
    if ((this.#counted.get(hash) ?? 0) > now) return false
    if (this.#counted.size >= MOST_REMEMBERED) this.#counted.delete(this.#counted.keys().next().value!)
    this.#counted.set(hash, now + RATE_WINDOW_SECONDS * 1000)
    return true
  }

  /** Beside the request: whether it can be written decides nothing. */
  #tell(network: string, quota: number): void {
    const { database, log } = this.#options
    log(`More than ${quota} wrong keys or links in a minute came from ${network}: it is slowed down.`)
    database
      .transaction({ role: 'nomaly_system' }, (connection) =>
        connection.query(
          `insert into nomaly.audit_log (tenant_id, actor, action, subject_kind, subject_id, detail)
           values (null, $1, 'access.slow', 'address', $2, $3)`,
          [`address:${network}`, network, JSON.stringify({ failuresPerMinute: quota })],
        ),
      )
      .catch((error: Error) => log(`That ${network} is slowed down was not audited: ${error.message}`))
  }
}

/** An IPv4 address, or the /64 of an IPv6 one, which is what one customer of a provider has (RFC 6177). */
export function networkOf(ip: string): string {
  const address = ip.replace(/%.*$/, '')
  const mapped = /^::ffff:([\d.]+)$/i.exec(address)?.[1]
  if (mapped !== undefined && isIPv4(mapped)) return mapped
  if (!address.includes(':')) return address
  const [head = '', tail] = address.split('::')
  const first = head === '' ? [] : head.split(':')
  const last = tail === undefined || tail === '' ? [] : tail.split(':')
  const zeros = tail === undefined ? [] : Array.from({ length: 8 - first.length - last.length }, () => '0')
  const groups = [...first, ...zeros, ...last]
    .slice(0, 4)
    .map((group) => Number.parseInt(group, 16).toString(16))
  return `${groups.join(':')}::/64`
}
