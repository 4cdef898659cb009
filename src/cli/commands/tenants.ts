import type { Command } from 'commander'
import type { Tenant } from '../../access/tenants.ts'
import { loadConfig } from '../../config/load.ts'
import { findDatabaseUrls } from '../../operations/connection-urls.ts'
import { openStore } from '../../store/open-store.ts'
import type { Store } from '../../store/store.ts'
import { withExamples } from '../help-examples.ts'
import { note, type OutputOptions, print, printJson, tableLines, withOutput } from '../output.ts'

/** Adds `nomaly tenants`. */
export function registerTenants(program: Command): void {
  const command = program
    .command('tenants')
    .description(
      'The tenants of this installation: each sees its own data only. For operators, on the database itself.',
    )

  const list = command.command('list').description('Lists the tenants.')
  withOutput(list)
  withExamples(list, [['nomaly tenants list', '']])
  list.action(async ({ output }: OutputOptions) => {
    const tenants = await withStore((store) => store.tenants.list())
    if (output === 'table') print(tenantTable(tenants))
    else printJson(tenants)
  })

  const create = command
    .command('create')
    .description('Makes a tenant and its first admin key, which is shown this once.')
    .argument('<name>', 'lower-case letters, digits and dashes')
  withOutput(create)
  withExamples(create, [['nomaly tenants create acme', '']])
  create.action(async (name: string, { output }: OutputOptions) => {
    const created = await withStore(async (store) => {
      const tenant = await store.tenants.create(name)
      const { value } = await store.transaction({ tenantId: tenant.id }, async (unit) => {
        const key = await unit.apiKeys.create('first admin', 'admin')
        await unit.audit.record(
          'operator',
          'key.create',
          { kind: 'key', id: key.apiKey.id },
          { role: 'admin' },
        )
        return key
      })
      return { ...tenant, key: value.key }
    })
    if (output !== 'table') return printJson(created)
    print(`Tenant ${created.name} has been made. Its admin key, shown this once:\n\n  ${created.key}`)
  })
}

function tenantTable(tenants: readonly Tenant[]): string {
  return tableLines(tenants, [
    ['Name', ({ name }) => name],
    ['Id', ({ id }) => id],
    ['Since', ({ createdAt }) => createdAt.toISOString()],
  ])
}

async function withStore<T>(work: (store: Store) => Promise<T>): Promise<T> {
  const config = loadConfig()
  const { applicationUrl } = await findDatabaseUrls(config)
  await using store = await openStore(config, applicationUrl, note)
  return await work(store)
}
