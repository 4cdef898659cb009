import { NomalyError } from '../../errors.ts'
import { isConnectionLoss, sqlState } from '../database-errors.ts'

/**
 * What a standby fails with where a primary does not: conflicts with recovery (40001, 40P01), a restart (57P0x), what is not possible during
 * recovery (25006, 55000), and no connection left (53300). PostgreSQL manual, 26.4.2 and appendix A.
 */
const STANDBY_STATES = new Set(['40001', '40P01', '57P01', '57P02', '57P03', '25006', '55000', '53300'])

/** A read was not made on the server, or of the state, that was proven to be new enough; nothing of it was answered. */
export class NotProven extends Error {
  constructor() {
    super('this standby is not known to be new enough')
  }
}

/** Whether the primary may answer what a standby did not. */
export function isStandbyFault(error: unknown): boolean {
  if (error instanceof NotProven) return true
  if (STANDBY_STATES.has(sqlState(error) ?? '') || isBusy(error)) return true
  return isAway(error)
}

/** Whether it could not be reached, or broke a connection off. */
export function isAway(error: unknown): boolean {
  for (let cause = error; cause instanceof Error; cause = cause.cause)
    if (isConnectionLoss(cause)) return true
  return false
}

/** Whether all connections to it were in use for as long as one waits, or too many waited: the server itself was not asked. */
function isBusy(error: unknown): boolean {
  return error instanceof NomalyError && error.code === 'overloaded' && sqlState(error) === undefined
}
