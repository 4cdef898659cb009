import type { Remembered } from '../proof-check.ts'

/**
 * The newest of what earlier drills noted that is not later than what was restored, which may be an older moment; told by the entries of the
 * audit log, whose ids only grow.
 */
export function rememberedBefore(
  remembered: readonly Remembered[],
  lastAuditId: string,
): Remembered | undefined {
  return remembered.find(({ auditLog }) => BigInt(auditLog.lastId) <= BigInt(lastAuditId))
}
