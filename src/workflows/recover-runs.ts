import type { Store } from '../store/store.ts'
import { presenceKey } from '../jobs/worker-presence.ts'

/**
 * Makes new tasks for runs whose worker is gone: its presence lock is free, since PostgreSQL frees the locks of a connection
 * that ends, however it ends.
 * @returns how many runs were found.
 */
export async function recoverRuns(store: Store): Promise<number> {
  const orphans = await store.database.read({ role: 'nomaly_system', freshness: 'latest' }, async (connection) => {
    const running = await connection.query<{ id: string; tenant_id: string; worker_id: string }>(
      `select r.id, r.tenant_id, r.worker_id from nomaly.runs r join nomaly.jobs j on j.id = r.job_id
       where r.status = 'running' and j.schedule ->> 'kind' <> 'streaming' limit 1000`,
    )
    if (running.length === 0) return []
    const held = await connection.query<{ key: string }>(
      `select ((classid::bigint << 32) | objid::bigint)::text as key from pg_locks
       where locktype = 'advisory' and granted and objsubid = 1
         and database = (select oid from pg_database where datname = current_database())`,
    )
    const alive = new Set(held.map(({ key }) => key))
    return running.filter(({ worker_id: workerId }) => !alive.has(presenceKey(workerId)))
  })
  for (const { id, tenant_id: tenantId } of orphans)
    await store.transaction({ tenantId }, (unit) => unit.queue.send('run-detection', { tenantId, runId: id }, id))
  return orphans.length
}
