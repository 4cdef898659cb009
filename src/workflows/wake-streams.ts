import type { TenantScope } from '../access/tenant-scope.ts'
import type { Store } from '../store/store.ts'

/** Makes a task for every streaming job of a dataset that has new points. */
export async function wakeStreamsOf(store: Store, scope: TenantScope, datasetId: string): Promise<void> {
  const jobIds = await store.read(scope, 'latest').jobs.streamsOf(datasetId)
  if (jobIds.length > 0) await wake(store, scope, jobIds)
}

/** Makes a task for every streaming job of every tenant: what a lost notice would have asked for. */
export async function wakeAllStreams(store: Store): Promise<void> {
  const jobs = await store.database.read({ role: 'nomaly_system', freshness: 'latest' }, (connection) =>
    connection.query<{ id: string; tenant_id: string }>(
      `select id, tenant_id from nomaly.jobs
       where schedule ->> 'kind' = 'streaming' and status in ('pending', 'running')`,
    ),
  )
  for (const [tenantId, ofTenant] of Map.groupBy(jobs, (job) => job.tenant_id))
    await wake(
      store,
      { tenantId },
      ofTenant.map(({ id }) => id),
    )
}

async function wake(store: Store, scope: TenantScope, jobIds: readonly string[]): Promise<void> {
  await store.transaction(scope, async (unit) => {
    for (const jobId of jobIds)
      await unit.queue.send('advance-stream', { tenantId: scope.tenantId, jobId }, jobId)
  })
}
