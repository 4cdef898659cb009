import pg from 'pg'
import { NomalyError } from '../errors.ts'
import type { Refusal } from './connection-gate.ts'

const LOSS_CODES = new Set(['ECONNRESET', 'ECONNREFUSED', 'EPIPE', 'ETIMEDOUT', 'ENOTFOUND', 'EHOSTUNREACH'])
// Class 08 is "connection exception"; 57P01–03 are shutdown, crash and "cannot connect now" (PostgreSQL manual, appendix A).
const LOSS_STATES = /^(08...|57P0[123])$/

/** A server that was to take writes is a standby, or was replaced by another one. */
export class NotPrimary extends Error {
  constructor(options?: ErrorOptions) {
    super('the server takes no writes', options)
  }
}

/** A commit was not made, and never will be; `cause` is how it went wrong. */
export class CommitRefused extends Error {
  constructor(cause: unknown) {
    super('the commit was not made', { cause })
  }
}

/** Whether an error means that the connection, not the statement, failed. */
export function isConnectionLoss(error: unknown): boolean {
  if (!(error instanceof Error)) return false
  const code = (error as { code?: unknown }).code
  if (typeof code === 'string' && (LOSS_CODES.has(code) || LOSS_STATES.test(code))) return true
  return /Connection terminated|Client has encountered a connection error|not queryable|timeout expired|timeout exceeded when trying to connect|Query read timeout/.test(
    error.message,
  )
}

/** Whether a transaction that failed like this may simply be run again: serialization failure or deadlock. */
export function isRetryable(error: unknown): boolean {
  const code = sqlState(error)
  return code === '40001' || code === '40P01'
}

/** Whether a server that was asked to write has become a standby: 25006, or 0A000 where it already refuses to begin (PostgreSQL manual, appendix A). */
export function isReadOnly(error: unknown): boolean {
  if (error instanceof NotPrimary) return true
  const state = sqlState(error)
  return state === '25006' || (state === '0A000' && routineOf(error) === 'check_transaction_read_only')
}

/** The function of the server that an error comes from: the same in every language. */
function routineOf(error: unknown): string | undefined {
  return error instanceof pg.DatabaseError ? error.routine : undefined
}

/** The SQLSTATE of an error, also of one that a {@link NomalyError} wraps. */
export function sqlState(error: unknown): string | undefined {
  if (error instanceof pg.DatabaseError) return error.code
  if (error instanceof Error && error.cause !== undefined) return sqlState(error.cause)
  return undefined
}

/** Whether the server refused a value: class 22 is "data exception", 23514 a check constraint (PostgreSQL manual, appendix A). */
export function isRefusedValue(error: unknown): boolean {
  return /^22...$|^23514$/.test(sqlState(error) ?? '')
}

/** How messages speak of a database. */
export interface DatabaseLabel {
  readonly name: string
  /** The variable that says how many connections there may be. */
  readonly connectionsVariable: string
}

export const CORE_DATABASE: DatabaseLabel = {
  name: 'database',
  connectionsVariable: 'NOMALY_DATABASE_POOL_OVERFLOW',
}

/** The database of the metrics, where it is another one than the core. */
export const METRICS_DATABASE: DatabaseLabel = {
  name: 'metrics database',
  connectionsVariable: 'NOMALY_METRICS_DATABASE_POOL_OVERFLOW',
}

/** What one hears who gets no connection. */
export function toRefusal(
  { name, connectionsVariable }: DatabaseLabel,
  reason: Refusal,
  retryAfterSeconds: number,
): NomalyError {
  return new NomalyError('overloaded', `All connections to the ${name} are busy${REASONS[reason]}.`, {
    hint: `Try again in a moment, or raise ${connectionsVariable}.`,
    retryAfterSeconds,
  })
}

const REASONS: Readonly<Record<Refusal, string>> = {
  full: ', and too many wait for one',
  hopeless: ', and waiting for one would take too long',
  late: '',
}

/** Turns what the driver throws into an error that says what to do; leaves what it does not know as it is. */
export function toNomalyError(error: unknown, label: DatabaseLabel = CORE_DATABASE): unknown {
  if (error instanceof NomalyError || !(error instanceof Error)) return error
  const { name, connectionsVariable } = label
  if (isReadOnly(error))
    return new NomalyError(
      'unavailable',
      `The server of the ${name} is a standby, or was replaced by one, and takes no writes.`,
      {
        hint: 'Try again in a moment. Where it stays so, let the URL of the database name all servers, with commas between them.',
        retryAfterSeconds: 2,
        cause: error,
      },
    )
  if (isConnectionLoss(error))
    return new NomalyError('unavailable', `The ${name} does not answer.`, {
      hint: 'Try again in a moment; `nomaly status` shows whether it is up.',
      retryAfterSeconds: 2,
      cause: error,
    })
  switch (sqlState(error)) {
    case '57014':
      return new NomalyError(
        'timeout',
        `The query of the ${name} took longer than its limit and was stopped.`,
        {
          hint: 'Ask for a shorter time range or fewer series.',
          cause: error,
        },
      )
    case '55P03':
      return new NomalyError('unavailable', `Something in the ${name} was locked for too long by others.`, {
        hint: 'Try again in a moment.',
        retryAfterSeconds: 2,
        cause: error,
      })
    case '53100':
      return new NomalyError('unavailable', `The disk of the ${name} is full.`, {
        hint: 'Free space on it; nothing that was acknowledged is lost.',
        retryAfterSeconds: 30,
        cause: error,
      })
    case '53200':
      return new NomalyError('overloaded', `The server of the ${name} is short of memory.`, {
        hint: /shared memory/.test(error.message)
          ? 'Try again in a moment, or for a shorter time range; raising max_locks_per_transaction of the server makes room for more.'
          : 'Try again in a moment, or for a shorter time range.',
        retryAfterSeconds: 2,
        cause: error,
      })
    case '53300':
      return new NomalyError('overloaded', `The server of the ${name} accepts no more connections.`, {
        hint: `Lower ${connectionsVariable} or raise max_connections of the server.`,
        retryAfterSeconds: 2,
        cause: error,
      })
    case '40001':
    case '40P01':
      return new NomalyError('unavailable', 'The write collided with another one and was undone.', {
        hint: 'Send it again.',
        retryAfterSeconds: 1,
        cause: error,
      })
    default:
      return error
  }
}
