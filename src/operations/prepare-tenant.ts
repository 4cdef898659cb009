import { readFile } from 'node:fs/promises'
import { hostname } from 'node:os'
import { writePrivateFile } from '../database/data-folder.ts'
import type { Store } from '../store/store.ts'

/** The tenant that every installation has. */
export const FIRST_TENANT = 'default'

/**
 * Makes the first tenant and its admin key, where they are missing. The key stands in a file that only its owner can read, so that
 * the command line on the same machine finds it.
 * @returns the tenant's id.
 */
export async function prepareTenant(store: Store, adminKeyFile: string): Promise<string> {
  const tenants = await store.tenants.list()
  const tenant =
    tenants.find(({ name }) => name === FIRST_TENANT) ?? (await store.tenants.create(FIRST_TENANT))
  const scope = { tenantId: tenant.id }
  const key = await readFile(adminKeyFile, 'utf8').catch(() => '')
  if ((await store.identities.byApiKey(key.trim())) === undefined) {
    const { value } = await store.transaction(scope, async (unit) => {
      const created = await unit.apiKeys.create(`admin on ${hostname()}`, 'admin')
      await unit.audit.record(
        'system',
        'key.create',
        { kind: 'key', id: created.apiKey.id },
        { role: 'admin' },
      )
      return created
    })
    await writePrivateFile(adminKeyFile, `${value.key}\n`)
  }
  return tenant.id
}
