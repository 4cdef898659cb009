import type { TenantScope } from '../access/tenant-scope.ts'
import { NomalyError } from '../errors.ts'
import type { Store } from '../store/store.ts'

export interface RunBackfillOptions {
  readonly store: Store
  readonly scope: TenantScope
  readonly backfillId: string
  readonly signal: AbortSignal
}

/** What passes by itself is tried again without being counted. */
const PASSING: ReadonlySet<string> = new Set(['unavailable', 'overloaded', 'unknown_outcome'])

/**
 * Merges a backfill window after window, from where it stands. A window that fails is tried again some times; then the backfill has failed,
 * and says why.
 */
export async function runBackfill({ store, scope, backfillId, signal }: RunBackfillOptions): Promise<void> {
  try {
    const { source } = await store.backfills.get(scope, backfillId)
    for (;;) {
      signal.throwIfAborted()
      const { outcome, inserted } = await store.metrics.mergeBackfill(scope, backfillId, signal)
      if (inserted > 0) store.notifier.publish({ channel: 'points', tenantId: scope.tenantId, id: source.id })
      // Where another worker is at it, that one goes on.
      if (outcome !== 'merged') return
    }
  } catch (error) {
    if (signal.aborted || (error instanceof NomalyError && PASSING.has(error.code))) throw error
    if (error instanceof NomalyError && error.code === 'not_found') {
      // Its dataset is gone, and perhaps what was noted of the backfill too.
      await store.backfills.abandon(scope, backfillId, { message: error.message })
      return
    }
    const status = await store.backfills.recordFailure(scope, backfillId, explain(error))
    if (status === 'merging') throw error
  }
}

function explain(error: unknown): { message: string; hint?: string | undefined } {
  if (error instanceof NomalyError) return { message: error.message, hint: error.hint }
  return {
    message: 'Something unexpected happened.',
    hint: 'The log of the worker says what; finish the backfill again to go on with it.',
  }
}

/** Makes new tasks for backfills that are to be merged and have none; answers how many. */
export async function recoverBackfills(store: Store): Promise<number> {
  const waiting = await store.backfills.waiting()
  if (waiting.length === 0) return 0
  const orphans = await store.database.read(
    { role: 'nomaly_system', freshness: 'latest' },
    async (connection) => {
      const rows = await connection.query<{ id: string }>(
        `select w.id from unnest($1::text[]) w(id) where not exists (
           select from pgboss.job t where t.name = 'run-backfill' and t.singleton_key = w.id and t.state in ('created', 'retry', 'active'))`,
        [waiting.map(({ id }) => id)],
      )
      const ids = new Set(rows.map(({ id }) => id))
      return waiting.filter(({ id }) => ids.has(id))
    },
  )
  for (const { tenantId, id } of orphans)
    await store.transaction({ tenantId }, (unit) =>
      unit.queue.send('run-backfill', { tenantId, backfillId: id }, id),
    )
  return orphans.length
}
