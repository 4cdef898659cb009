import type { TenantScope } from '../access/tenant-scope.ts'
import type { Store } from '../store/store.ts'

/** Makes a task for every streaming job of a dataset that has new points. */
export async function wakeStreamsOf(store: Store, scope: TenantScope, datasetId: string): Promise<void> {
  const { items } = await store.read(scope, 'latest').jobs.list({ datasetId }, { limit: 500 })
  const streams = items.filter(
    ({ schedule, status }) => schedule.kind === 'streaming' && (status === 'pending' || status === 'running'),
  )
  if (streams.length === 0) return
  await store.transaction(scope, async (unit) => {
    for (const { id } of streams) await unit.queue.send('advance-stream', { tenantId: scope.tenantId, jobId: id }, id)
  })
}

/** Makes a task for every streaming job of every tenant: what a lost notice would have asked for. */
export async function wakeAllStreams(store: Store): Promise<void> {
  const jobs = await store.database.read({ role: 'nomaly_system', freshness: 'latest' }, (connection) =>
    connection.query<{ id: string; tenant_id: string }>(
      `select id, tenant_id from nomaly.jobs
       where schedule ->> 'kind' = 'streaming' and status in ('pending', 'running')`,
    ),
  )
  for (const { id, tenant_id: tenantId } of jobs)
    await store.transaction({ tenantId }, (unit) => unit.queue.send('advance-stream', { tenantId, jobId: id }, id))
}
