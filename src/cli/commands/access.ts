import type { Command } from 'commander'
import { loadConfig } from '../../config/load.ts'
import { findDatabaseUrls } from '../../operations/connection-urls.ts'
import {
  grantSql,
  listSqlLogins,
  metricsAdminUrl,
  revokeSql,
  type SqlLogin,
} from '../../operations/sql-logins.ts'
import { openStore } from '../../store/open-store.ts'
import type { Store } from '../../store/store.ts'
import { confirm, withYes, type ConfirmFlags } from '../confirm.ts'
import { withExamples } from '../help-examples.ts'
import { note, type OutputOptions, print, printItems, printJson, withOutput } from '../output.ts'
import { wholeNumber } from '../remote-command.ts'

interface GrantOptions extends OutputOptions {
  readonly tenant: string
  readonly insert?: boolean
  readonly connections: number
  readonly statementTimeout: number
}

type NamedLogin = Omit<SqlLogin, 'tenantId'> & { readonly tenant: string }

/** Adds `nomaly access`. */
export function registerAccess(program: Command): void {
  const command = program
    .command('access')
    .description(
      'Database logins of tenants, for SQL and for tools such as Grafana. For operators, on the database itself.',
    )
  addGrant(command)
  addRevoke(command)
  addList(command)
}

function addGrant(command: Command): void {
  const grant = command
    .command('grant-sql')
    .description(
      'Makes a database login that sees what belongs to one tenant, whatever it does, and prints its address this once.',
    )
    .argument('<name>', 'of the login: lower-case letters, digits and underscores')
    .requiredOption('--tenant <name>', 'whose rows it sees')
    .option('--insert', 'may insert points too; otherwise it only reads')
    .option('--connections <n>', 'at the same time', wholeNumber, 5)
    .option('--statement-timeout <seconds>', 'unless it sets another one', wholeNumber, 60)
  withOutput(grant)
  withExamples(grant, [
    ['nomaly access grant-sql acme_grafana --tenant acme', 'reads'],
    ['nomaly access grant-sql acme_writer --tenant acme --insert', 'reads and inserts'],
  ])
  grant.action(async (name: string, options: GrantOptions) => {
    const { tenant: tenantName, insert: mayInsert = false, connections, statementTimeout, output } = options
    const url = await withStore(async (store, adminUrl) => {
      const tenant = await store.tenants.find(tenantName)
      const granted = await grantSql(adminUrl, name, {
        tenantId: tenant.id,
        mayInsert,
        maxConnections: connections,
        statementTimeoutSeconds: statementTimeout,
      })
      await record(store, tenant.id, 'sql.grant', name, { mayInsert })
      // Who inserts in SQL makes no room: it has to be there.
      if (mayInsert) await store.metrics.maintain(new Date())
      return granted
    })
    if (output !== 'table') return printJson({ login: name, tenant: tenantName, mayInsert, url })
    const rights = mayInsert ? 'reads and inserts' : 'reads'
    print(
      `The login ${name} ${rights} what belongs to ${tenantName}. Its address, shown this once:\n\n  ${url}`,
    )
  })
}

function addRevoke(command: Command): void {
  const revoke = command
    .command('revoke-sql')
    .description('Takes a database login of a tenant away: its sessions end, and its role is dropped.')
    .argument('<name>', 'of the login')
  withYes(withOutput(revoke))
  withExamples(revoke, [['nomaly access revoke-sql acme_grafana --yes', 'without asking']])
  revoke.action(async (name: string, flags: OutputOptions & ConfirmFlags) => {
    await confirm(`Revoke login ${name}? What uses it stops working.`, flags)
    await withStore(async (store, adminUrl) => {
      const known = (await listSqlLogins(adminUrl)).find(({ login }) => login === name)
      await revokeSql(adminUrl, name)
      const tenants = await store.tenants.list()
      // The tenant may be gone before its login.
      if (known !== undefined && tenants.some(({ id }) => id === known.tenantId))
        await record(store, known.tenantId, 'sql.revoke', name)
    })
    if (flags.output === 'table') print(`The login ${name} is gone.`)
    else printJson({ login: name })
  })
}

function addList(command: Command): void {
  const list = command.command('list-sql').description('Lists the database logins of tenants.')
  withOutput(list)
  withExamples(list, [
    ['nomaly access list-sql', ''],
    ['nomaly access list-sql -o json', 'for a program'],
  ])
  list.action(async ({ output }: OutputOptions) => {
    const logins = await withStore(async (store, adminUrl): Promise<NamedLogin[]> => {
      const names = new Map((await store.tenants.list()).map(({ id, name }) => [id, name]))
      const found = await listSqlLogins(adminUrl)
      return found.map(({ tenantId, ...login }) => ({ ...login, tenant: names.get(tenantId) ?? tenantId }))
    })
    printItems(
      output,
      logins,
      [
        ['Login', ({ login }) => login],
        ['Tenant', ({ tenant }) => tenant],
        ['May', ({ canLogIn, mayInsert }) => rightsOf(canLogIn, mayInsert)],
        ['Connections', ({ sessions }) => String(sessions)],
        ['Since', ({ createdAt }) => createdAt.toISOString()],
      ],
      'No tenant has a database login: make one with `nomaly access grant-sql NAME --tenant TENANT`.',
    )
  })
}

function rightsOf(canLogIn: boolean, mayInsert: boolean): string {
  if (!canLogIn) return 'nothing: its role was dropped'
  return mayInsert ? 'read and insert' : 'read'
}

async function record(
  store: Store,
  tenantId: string,
  action: string,
  login: string,
  detail: Readonly<Record<string, unknown>> = {},
): Promise<void> {
  await store.transaction({ tenantId }, (unit) =>
    unit.audit.record('operator', action, { kind: 'login', id: login }, detail),
  )
}

async function withStore<T>(work: (store: Store, adminUrl: string) => Promise<T>): Promise<T> {
  const config = loadConfig()
  const { adminUrl, applicationUrl } = await findDatabaseUrls(config)
  await using store = await openStore(config, applicationUrl, note)
  return await work(store, metricsAdminUrl(config, adminUrl))
}
