import { NomalyError } from '../errors.ts'

/**
 * Why Redis did not do it. `down`: nobody is connected, or the breaker is open. `slow`: no answer in time, and what was sent may still be done.
 * `full`: it takes no more writes, reads go on. `changed`: another server may have answered than the one that {@link Redis.runId} named.
 */
export type UnavailableReason = 'down' | 'slow' | 'full' | 'changed'

/** Redis cannot be used now. Who only wanted to be quicker goes on without it. */
export class RedisUnavailable extends NomalyError {
  readonly reason: UnavailableReason

  constructor(reason: UnavailableReason, message: string, cause?: unknown) {
    super('unavailable', message, { retryAfterSeconds: 1, cause })
    this.name = 'RedisUnavailable'
    this.reason = reason
  }
}
