import { join } from 'node:path'
import { expect, it } from 'vitest'
import { AT, DATASETS, openImportFixture, temporaryFolder, USERS, writeSqlite } from './import-fixture.ts'

const id = (number: number): string => `${String(number).padStart(8, '0')}-1111-4111-8111-111111111111`
const BCRYPT = `$2b$12$${'a'.repeat(53)}`
const dataset = { id: id(2), name: 'set', created_at: AT, updated_at: AT }

it('keep to their tenants, or go into the one that was named', async () => {
  const { run, admin, store } = await openImportFixture()
  const path = join(await temporaryFolder(), 'tenants.db')
  const [north, south] = [id(41), id(42)]
  const tenants =
    'id varchar(36), name text, domain text, plan text, status text, limits text, created_at datetime, updated_at datetime'
  writeSqlite(path, {
    tenants: {
      columns: tenants,
      rows: [
        {
          id: north,
          name: 'Same',
          domain: 'n',
          plan: 'free',
          status: 'active',
          limits: '{"max_users": 10}',
          created_at: AT,
        },
        { id: south, name: 'same', domain: 's', plan: 'free', status: 'active', created_at: AT },
      ],
    },
    users: {
      columns: USERS,
      rows: [
        {
          id: id(50),
          email: 'a@example.org',
          username: 'a',
          status: 'active',
          password_hash: BCRYPT,
          created_at: AT,
          updated_at: AT,
        },
      ],
    },
    roles: {
      columns: 'id text, name text, permissions text, is_system_role boolean, created_at datetime',
      rows: [{ id: id(60), name: 'auditor', permissions: '[]', is_system_role: 0, created_at: AT }],
    },
    user_roles: {
      columns:
        'user_id varchar(36), tenant_id varchar(36), role_id varchar(36), permissions text, granted_at datetime, granted_by text, expires_at datetime',
      rows: [
        { user_id: id(50), tenant_id: north, role_id: 'viewer', granted_at: AT },
        { user_id: id(50), tenant_id: south, role_id: id(60), granted_at: AT },
        { user_id: id(50), tenant_id: id(98), role_id: 'viewer', granted_at: AT },
        { user_id: id(97), tenant_id: north, role_id: 'viewer', granted_at: AT },
      ],
    },
    datasets: {
      columns: `${DATASETS}, tenant_id varchar(36)`,
      rows: [
        { ...dataset, tenant_id: south },
        { ...dataset, id: id(3), tenant_id: south },
      ],
    },
  })
  const report = await run(path)
  expect(report.isRight).toBe(true)
  expect(report.stores[0]!.quarantine.map(({ table, reason }) => [table, reason])).toEqual([
    ['user_roles', 'tenant_missing'],
    ['user_roles', 'user_missing'],
  ])
  expect(await admin(`select id, name from nomaly.tenants where name like 'same%' order by name`)).toEqual([
    { id: north, name: 'same' },
    { id: south, name: 'same-00000042' },
  ])
  expect(await admin('select tenant_id, role from nomaly.role_grants order by role')).toEqual([
    { tenant_id: south, role: 'auditor' },
    { tenant_id: north, role: 'viewer' },
  ])
  const read = (tenantId: string, statement: string): Promise<unknown[]> =>
    store.database.read({ role: 'nomaly_app', scope: { tenantId }, freshness: 'latest' }, (connection) =>
      connection.query(statement),
    )
  // Each tenant sees its own, and nobody sees a hash.
  expect(await read(north, 'select email from nomaly.users')).toEqual([{ email: 'a@example.org' }])
  expect(await read(north, 'select name from nomaly.datasets')).toEqual([])
  expect(await read(south, 'select name from nomaly.datasets order by name')).toEqual([
    { name: 'set' },
    { name: 'set-00000003' },
  ])
  await expect(read(north, 'select password_hash from nomaly.users')).rejects.toThrow()
  expect(await admin(`select count(*)::int from nomaly.audit_log where action = 'import.complete'`)).toEqual([
    { count: 3 },
  ])

  // Into one tenant: the ids are another tenant's already, and nothing is taken from it.
  const taken = await run(path, { tenant: 'tenant' })
  expect(
    taken.stores[0]!.quarantine.filter(({ table }) => table === 'datasets').map(({ reason }) => reason),
  ).toEqual(['taken', 'taken'])
  await expect(run(path, { tenant: 'nobody' })).rejects.toMatchObject({ code: 'not_found' })
})
