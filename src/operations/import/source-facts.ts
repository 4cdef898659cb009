import type { SourceStore, SourceTable } from './source.ts'
import { soundId } from './source-id.ts'

/** More tenants, grants or roles than this no installation of the original has. */
const MAX_ROWS = 2_000_000

/** What rows of one table need to know of others, read before anything is converted. */
export interface SourceFacts {
  /** Ids of the tenants that the source has. */
  readonly tenantIds: ReadonlySet<string>
  /** Ids of the source's tenants that a user has grants in, by the user's id. */
  readonly tenantsByUser: ReadonlyMap<string, ReadonlySet<string>>
  readonly roleNames: ReadonlyMap<string, string>
}

export function readFacts(store: SourceStore): SourceFacts {
  const tenantIds = new Set<string>()
  const tenantsByUser = new Map<string, Set<string>>()
  const roleNames = new Map<string, string>()
  for (const [id] of read(store.tables, 'tenants', ['id'])) addId(id, (sound) => tenantIds.add(sound))
  for (const [user, tenant] of read(store.tables, 'grants', ['user_id', 'tenant_id']))
    addId(user, (userId) =>
      addId(tenant, (tenantId) => {
        if (!tenantsByUser.has(userId)) tenantsByUser.set(userId, new Set())
        tenantsByUser.get(userId)!.add(tenantId)
      }),
    )
  const roles = store.tables.filter(({ name, columns }) => name === 'roles' && columns.has('name'))
  for (const [id, name] of read(roles, 'records', ['id', 'name']))
    if (typeof name === 'string') {
      roleNames.set(String(id), name)
      addId(id, (sound) => roleNames.set(sound, name))
    }
  return { tenantIds, tenantsByUser, roleNames }
}

function* read(
  tables: readonly SourceTable[],
  noun: SourceTable['noun'],
  columns: readonly string[],
): Generator<unknown[]> {
  let rows = 0
  for (const table of tables.filter((candidate) => candidate.noun === noun))
    for (const [, ...values] of table.select(columns, -(2n ** 63n))) {
      if (rows++ > MAX_ROWS) return
      yield values
    }
}

function addId(value: unknown, add: (id: string) => void): void {
  const found = soundId(value as Parameters<typeof soundId>[0])
  if (typeof found !== 'string') add(found.id)
}
