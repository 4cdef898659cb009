import type { AdminTransaction } from './admin-session.ts'

/**
 * Lets go of the sealed answers of a tenant: nobody here can read whether what is erased stands in one. What was asked stays known, and is not
 * done again where it is repeated. As `nomaly_system`.
 * @returns how many there were.
 */
export function forgetAnswers(run: AdminTransaction, tenantId: string): Promise<number> {
  return run.change(
    'update nomaly.idempotency_keys set body = null where tenant_id = $1 and body is not null',
    [tenantId],
  )
}
