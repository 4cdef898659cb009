import type { AdminSession } from './admin-session.ts'
import type { ErasedCounts, TenantSubject } from './erasure.ts'
import { countRows, deleteRows } from './tenant-tables.ts'

const OF_TENANT = `data ->> 'tenantId' = $1`

/** Removes a tenant, all that belongs to it, and its tasks from a core database, in one transaction; its points are the metrics'. */
export async function eraseTenant(core: AdminSession, { tenantId }: TenantSubject): Promise<ErasedCounts> {
  return core.transaction(async (run) => {
    await run.become('nomaly_system')
    // Who is at work for it is waited for, and nobody begins any more.
    await run.query('select from nomaly.tenants where id = $1 for update', [tenantId])
    const counts = await countRows(run, 'nomaly', tenantId)
    const tenants = await run.change('delete from nomaly.tenants where id = $1', [tenantId])
    await deleteRows(run, 'nomaly', tenantId)
    const tasks = await run.change(`delete from pgboss.job where ${OF_TENANT}`, [tenantId])
    return { ...counts, 'nomaly.tenants': tenants, tasks }
  })
}

/** How much of that there is. */
export async function countTenant(core: AdminSession, { tenantId }: TenantSubject): Promise<ErasedCounts> {
  return core.transaction(async (run) => {
    await run.become('nomaly_system')
    const counts = await countRows(run, 'nomaly', tenantId)
    const [row] = await run.query<{ tenants: string; tasks: string }>(
      `select (select count(*) from nomaly.tenants where id = $1::uuid) as tenants,
         (select count(*) from pgboss.job where data ->> 'tenantId' = $1::uuid::text) as tasks`,
      [tenantId],
    )
    return { ...counts, 'nomaly.tenants': Number(row!.tenants), tasks: Number(row!.tasks) }
  })
}
