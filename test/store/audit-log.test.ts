import { expect, test } from 'vitest'
import type { Connection, DatabaseRole } from '../../src/database/connection.ts'
import { sqlState } from '../../src/database/database-errors.ts'
import { openTestStore } from './store-fixture.ts'

const CHANGES = [
  "update nomaly.audit_log set actor = 'nobody'",
  'delete from nomaly.audit_log',
  'truncate nomaly.audit_log',
  'alter table nomaly.audit_log disable trigger all',
  'drop trigger audit_log_is_append_only on nomaly.audit_log',
]

test('entries are written and read, newest first, by their own tenant', async () => {
  const { store, scope } = await openTestStore()
  const { id } = await store.tenants.create('other')
  for (const action of ['one', 'two', 'three'])
    await store.transaction(scope, (unit) =>
      unit.audit.record('me', action, { kind: 'thing', id: '1' }, { n: action }),
    )
  const { items } = await store.read(scope, 'latest').audit.list({ limit: 10 })
  expect(items.map(({ action }) => action)).toEqual(['three', 'two', 'one'])
  expect(items[0]).toMatchObject({
    actor: 'me',
    subjectKind: 'thing',
    subjectId: '1',
    detail: { n: 'three' },
  })
  expect(await store.read({ tenantId: id }, 'latest').audit.list({ limit: 10 })).toMatchObject({ items: [] })
})

test.for(['nomaly_app', 'nomaly_system'] as const)(
  '%s can neither change nor remove an entry',
  async (role) => {
    const { store, scope, admin } = await openTestStore()
    await store.transaction(scope, (unit) => unit.audit.record('me', 'kept', { kind: 'thing', id: '1' }))
    for (const statement of CHANGES) {
      const options: { role: DatabaseRole; scope: typeof scope } = { role, scope }
      const change = store.database.transaction(options, (connection: Connection) =>
        connection.query(statement),
      )
      expect(sqlState(await change.catch((error: unknown) => error)), statement).toBe('42501')
    }
    expect(await admin('select actor, action from nomaly.audit_log')).toEqual([
      { actor: 'me', action: 'kept' },
    ])
  },
)

test('nor can their owner, nor a superuser by mistake', async () => {
  const { store, scope, admin } = await openTestStore()
  await store.transaction(scope, (unit) => unit.audit.record('me', 'kept', { kind: 'thing', id: '1' }))
  // The owner is bound by row-level security like everybody, and sees no row that it could change.
  await admin(`set role nomaly_owner; ${CHANGES[0]}; ${CHANGES[1]}`)
  await expect(admin(CHANGES[0]!)).rejects.toThrow('append-only')
  await expect(admin(CHANGES[1]!)).rejects.toThrow('append-only')
  for (const role of ['nomaly_owner', 'postgres'])
    await expect(admin(`set role ${role}; ${CHANGES[2]}`), role).rejects.toThrow('append-only')
  expect(await admin('select actor, action from nomaly.audit_log')).toEqual([{ actor: 'me', action: 'kept' }])
})

test('a tenant that is removed takes its entries along', async () => {
  const { store, scope, admin } = await openTestStore()
  await store.transaction(scope, (unit) => unit.audit.record('me', 'gone', { kind: 'thing', id: '1' }))
  await admin('delete from nomaly.tenants where id = $1', [scope.tenantId])
  expect(await admin('select from nomaly.audit_log')).toEqual([])
})

test('an entry cannot be written in the name of another tenant', async () => {
  const { store, scope } = await openTestStore()
  const { id: otherId } = await store.tenants.create('other')
  const forged = store.database.transaction({ role: 'nomaly_app', scope }, (connection) =>
    connection.query(
      "insert into nomaly.audit_log (tenant_id, actor, action, subject_kind, subject_id) values ($1, 'me', 'forged', 'a', 'b')",
      [otherId],
    ),
  )
  expect(sqlState(await forged.catch((error: unknown) => error))).toBe('42501')
})
