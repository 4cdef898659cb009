import type { Identity } from '../../access/identity.ts'
import type { Dataset } from '../../datasets/dataset.ts'
import type { Store } from '../../store/store.ts'
import type { DrillSite } from './drill-writes.ts'

/** The tenant that all drills of an installation write under: nobody else sees anything of them. */
export const DRILL_TENANT = 'nomaly-drill'

/** Where one drill writes. */
export interface DrillPlace {
  readonly site: DrillSite
  readonly identity: Identity
  readonly dataset: Dataset
}

/** Makes what a drill writes into; the tenant is made by the first one, and stays. */
export async function openSite(store: Store, run: string, originMs: number): Promise<DrillPlace> {
  const tenants = await store.tenants.list()
  const tenant =
    tenants.find(({ name }) => name === DRILL_TENANT) ?? (await store.tenants.create(DRILL_TENANT))
  const scope = { tenantId: tenant.id }
  const { value: dataset } = await store.transaction(scope, (unit) =>
    // What an interrupted drill leaves behind goes by itself.
    unit.datasets.create({ name: run, description: 'Made by a failover drill.', retention: 'month' }),
  )
  return {
    site: {
      scope,
      run,
      source: { kind: 'dataset', id: dataset.id, retention: dataset.retention },
      originMs,
    },
    identity: {
      scope,
      tenantName: DRILL_TENANT,
      role: 'admin',
      actor: 'system',
      via: 'key',
      keyId: undefined,
      session: undefined,
    },
    dataset,
  }
}

/** Removes what a drill has written, and what drills before it that were interrupted have left. */
export async function closeSite(store: Store, { site, dataset }: DrillPlace): Promise<void> {
  const { scope } = site
  await store.transaction(scope, async (unit) => {
    await unit.datasets.remove(dataset.id)
    await unit.queue.send('drop-source', { tenantId: scope.tenantId, sourceId: dataset.id }, dataset.id)
  })
  await store.database.transaction({ role: 'nomaly_app', scope }, (connection) =>
    connection.query(
      "delete from nomaly.settings where starts_with(name, $1) or updated_at < now() - interval '1 day'",
      [`${site.run}/`],
    ),
  )
}
