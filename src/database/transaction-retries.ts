import { setTimeout as sleep } from 'node:timers/promises'
import { NomalyError } from '../errors.ts'
import { CommitRefused, isConnectionLoss, isReadOnly, isRetryable } from './database-errors.ts'

/** Why a transaction is run again: it collided with another one, or its server went away. */
export type RetryReason = 'collision' | 'loss'

export interface RetryOptions {
  readonly signal?: AbortSignal | undefined
  /** From 0 to 1. */
  readonly random: () => number
  readonly onRetry: (reason: RetryReason) => void
}

const MOST_RETRIES = 3
/** Collisions end with the other transaction; a server that went away takes longer. */
const FIRST_PAUSE_MS: Readonly<Record<RetryReason, number>> = { collision: 50, loss: 400 }

/**
 * Runs a transaction, and runs it again, at most three times, where it failed before anything of it was stored and may succeed next time. Pauses
 * double and are drawn from nothing up to them (full jitter: Brooker, "Exponential Backoff and Jitter", 2015).
 * @throws the last error.
 */
export async function withRetries<T>(attempt: () => Promise<T>, options: RetryOptions): Promise<T> {
  for (let retries = 0; ; retries++) {
    try {
      return await attempt()
    } catch (error) {
      const reason = retryReason(error)
      if (reason === undefined || retries === MOST_RETRIES || options.signal?.aborted === true) throw error
      options.onRetry(reason)
      const pauseMs = FIRST_PAUSE_MS[reason] * 2 ** retries * options.random()
      // Told to stop meanwhile, what went wrong says more.
      await sleep(pauseMs, undefined, options.signal && { signal: options.signal }).catch(() => {
        throw error
      })
    }
  }
}

/** Why it makes sense to run a transaction again that failed like this; `undefined` where it does not, or where it may have been stored. */
export function retryReason(error: unknown): RetryReason | undefined {
  if (isRetryable(error)) return 'collision'
  if (!(error instanceof NomalyError) || error.code !== 'unavailable') return undefined
  const { cause } = error
  return isConnectionLoss(cause) || isReadOnly(cause) || cause instanceof CommitRefused ? 'loss' : undefined
}
