import type { Identity } from '../access/identity.ts'
import type { TenantScope } from '../access/tenant-scope.ts'
import type { Committed } from '../database/position.ts'
import type { Dataset } from '../datasets/dataset.ts'
import type { Backfill } from '../metrics/backfill.ts'
import { backfillNotFound } from '../metrics/backfill-rows.ts'
import type { Store } from '../store/store.ts'
import type { UnitOfWork } from '../store/unit-of-work.ts'

/** Opens a backfill of a dataset under an id, once; what of it stands in the core is left to {@link noteBackfill}. */
export async function openBackfill(
  store: Store,
  scope: TenantScope,
  dataset: Dataset,
  id: string,
): Promise<Committed<Backfill>> {
  return store.backfills.create(scope, { kind: 'dataset', id: dataset.id, retention: dataset.retention }, id)
}

/** Notes that a backfill was opened. */
export async function noteBackfill(unit: UnitOfWork, { actor }: Identity, backfill: Backfill): Promise<void> {
  const subject = { kind: 'backfill', id: backfill.id }
  await unit.audit.record(actor, 'backfill.create', subject, { datasetId: backfill.source.id })
}

/** A backfill of this very dataset. @throws NomalyError `not_found`. */
export async function backfillOf(
  store: Store,
  scope: TenantScope,
  dataset: Dataset,
  id: string,
): Promise<Backfill> {
  const backfill = await store.backfills.get(scope, id)
  if (backfill.source.id !== dataset.id) throw backfillNotFound(id)
  return backfill
}

/**
 * Hands a backfill whose parts have all come to a worker. What is lost between the two commits, which may be in two databases, is found by
 * {@link recoverBackfills}.
 */
export async function finishBackfill(
  store: Store,
  { scope, actor }: Identity,
  id: string,
  parts: number,
): Promise<Committed<Backfill>> {
  const finished = await store.backfills.finish(scope, id, parts)
  if (finished.value.status === 'merging')
    await store.transaction(scope, async (unit) => {
      await unit.audit.record(actor, 'backfill.finish', { kind: 'backfill', id }, { parts })
      await unit.queue.send('run-backfill', { tenantId: scope.tenantId, backfillId: id }, id)
    })
  return finished
}

/** Ends a backfill; what of it is merged stays. */
export async function cancelBackfill(
  store: Store,
  { scope, actor }: Identity,
  id: string,
): Promise<Committed<void>> {
  const cancelled = await store.backfills.cancel(scope, id)
  await store.transaction(scope, (unit) =>
    unit.audit.record(actor, 'backfill.cancel', { kind: 'backfill', id }),
  )
  return cancelled
}
