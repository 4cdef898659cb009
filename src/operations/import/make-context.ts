import type { ConvertContext } from './convert-context.ts'
import { RowProblem } from './converted.ts'
import { instantText } from './local-time.ts'
import { readFacts } from './source-facts.ts'
import { soundId } from './source-id.ts'
import type { StoreImportParts } from './store-import.ts'

/** What rows of a source need to know, gathered from it, the options and the tenants that there are. */
export async function makeContext({
  store,
  source,
  settings,
  zone,
  jobsZone,
}: Omit<StoreImportParts, 'signal' | 'actor'>): Promise<ConvertContext> {
  const { tenantIds, tenantsByUser, roleNames } = readFacts(source)
  const known = new Set([...tenantIds, ...(await store.tenants.list()).map(({ id }) => id)])
  const { tenantId, isOneTenant } = settings
  const hasDatasets = source.tables.some(({ noun, count }) => noun === 'datasets' && count > 0)
  return {
    zone,
    jobsZone,
    modifiedAt: instantText(Math.floor(source.modifiedAt.getTime())),
    tenantId,
    isOneTenant,
    tenantOf: (sourceTenant) => {
      if (isOneTenant || sourceTenant === null || sourceTenant === undefined || sourceTenant === '')
        return tenantId
      const found = soundId(sourceTenant)
      if (typeof found === 'string') throw new RowProblem('unrecoverable_id', `tenant_id: ${found}`)
      if (!known.has(found.id)) throw new RowProblem('tenant_missing', `its tenant ${found.id} is not there`)
      return found.id
    },
    tenantsOfUser: (userId) => {
      const granted = [...(tenantsByUser.get(userId) ?? [])].filter((id) => isOneTenant || known.has(id))
      return isOneTenant ? [tenantId] : granted.toSorted()
    },
    roleName: (roleId) => roleNames.get(roleId),
    makesDatasets: source.family === 'JSON' && !hasDatasets,
  }
}
