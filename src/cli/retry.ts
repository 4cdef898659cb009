import { setTimeout as sleep } from 'node:timers/promises'
import { NomalyError, type ErrorCode } from '../errors.ts'

const PASSING: ReadonlySet<ErrorCode> = new Set([
  'unavailable',
  'overloaded',
  'unknown_outcome',
  'under_way',
  'timeout',
  'rate_limited',
])
const FIRST_WAIT_MS = 500
const LONGEST_WAIT_MS = 15_000

export interface RetryOptions {
  readonly attempts: number
  readonly signal: AbortSignal
  readonly random: () => number
  /** Told before each wait. */
  readonly onWait: (error: NomalyError, waitMs: number) => void
  /** Whether it may pass; otherwise its kind decides. */
  readonly mayPass?: (error: NomalyError) => boolean
}

/**
 * Does work again when it failed for a reason that may pass, after waits that double and are spread by chance ("full
 * jitter", AWS Architecture Blog 2015), or as long as the server asked for. The work must bear being repeated.
 */
export async function retrying<T>(options: RetryOptions, work: () => Promise<T>): Promise<T> {
  for (let attempt = 1; ; attempt += 1) {
    try {
      return await work()
    } catch (error) {
      const { mayPass = isPassing } = options
      if (!(error instanceof NomalyError) || !mayPass(error) || attempt >= options.attempts) throw error
      const ceilingMs = Math.min(LONGEST_WAIT_MS, FIRST_WAIT_MS * 2 ** (attempt - 1))
      // Jitter on top of what the server asked for, so that all who were refused do not come back at once.
      const waitMs = (error.retryAfterSeconds ?? 0) * 1000 + ceilingMs * options.random()
      options.onWait(error, waitMs)
      await sleep(waitMs, undefined, { signal: options.signal })
    }
  }
}

function isPassing({ code }: NomalyError): boolean {
  return PASSING.has(code)
}
