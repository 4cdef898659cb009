import { NomalyError } from '../errors.ts'

/** The connection is unusable; `cause` is what the caller should hear. */
export class LostConnection extends Error {
  constructor(cause: unknown) {
    super('connection lost', { cause })
  }
}

/** COMMIT was sent, and what became of it is to be found out; `value` is what the work answered. */
export class UncertainCommit extends Error {
  readonly value: unknown

  constructor(value: unknown, cause: unknown) {
    super('commit outcome unknown', { cause })
    this.value = value
  }
}

/** The error for a commit that a standby was to have, and may not. */
export function notReplicated(cause: unknown): NomalyError {
  return new NomalyError(
    'unknown_outcome',
    'The wait for a standby was cancelled: the write is on the primary, and would be lost with it.',
    {
      hint: 'Send it again: writes that may be repeated do no harm.',
      retryAfterSeconds: 2,
      cause,
    },
  )
}

/** The error for who has held a connection without a statement until it was taken away. */
export function heldForTooLong(cause: unknown): NomalyError {
  return new NomalyError(
    'internal',
    'A connection to the database was held for too long without a statement, and was ended.',
    {
      hint: 'The log names what held it. Nothing of its transaction was stored.',
      cause,
    },
  )
}
