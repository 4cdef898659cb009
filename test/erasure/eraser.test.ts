import { randomUUID } from 'node:crypto'
import pg from 'pg'
import { expect, onTestFinished, test } from 'vitest'
import { noteErasure } from '../../src/operations/erasure/erasure-ledger.ts'
import { resolveSeries, resolveTenant, resolveUser } from '../../src/operations/erasure/resolve-subject.ts'
import { replayErasures } from '../../src/operations/erasure/replay-erasures.ts'
import type { ErasureBackups } from '../../src/operations/erasure/receipt.ts'
import { migrateInstance } from '../../src/operations/open-instance.ts'
import { openStore } from '../../src/store/open-store.ts'
import { ask, createApartDatabases, startApart } from '../support/apart.ts'
import { createMigratedDatabase, startTestNomaly, testConfig } from '../support/nomaly.ts'
import { createTestDatabase, findServer } from '../support/postgres.ts'
import { connectAdmin, dumpDatabase, openEraser, plantSeries, pointsTable, WORK } from './eraser-fixture.ts'

test('a tenant is gone from both databases, and from either where that alone was restored', async () => {
  const databases = await createApartDatabases()
  const nomaly = await startApart(databases, { worker: false })
  const { tenantId } = await nomaly.createTenant('leaving')
  const scope = { tenantId }
  await plantSeries(nomaly.store, scope, 'one', { a: [1, 2, 3], b: [4] })
  await plantSeries(nomaly.store, scope, 'two', { a: [1] })
  await plantSeries(nomaly.store, { tenantId: nomaly.tenant.tenantId }, 'staying', { a: [1, 2] })
  const { databaseUrl, metricsDatabaseUrl, core, metrics } = databases
  const eraser = await openEraser(
    testConfig({
      databaseUrl,
      adminDatabaseUrl: core.adminUrl,
      metricsDatabaseUrl,
      metricsAdminDatabaseUrl: metrics.adminUrl,
    }),
  )
  const table = await pointsTable(await connectAdmin(metrics.adminUrl))
  const pointsLeft = async (): Promise<number> =>
    (await ask<{ count: number }>(metrics, `select count(*)::int as count from ${table}`))[0]!.count
  // What the metrics had before, to bring them back to.
  const series = await ask<{ row: object }>(
    metrics,
    'select to_jsonb(s) - $1 as row from metrics.series s where tenant_id = $2',
    ['digest', tenantId],
  )
  expect(await pointsLeft()).toBe(7)

  const { removed } = await eraser.erase(await resolveTenant(eraser.site.core, 'leaving'), 'me', WORK)
  expect(removed).toMatchObject({ series: 3, points: 5, 'nomaly.tenants': 1, 'nomaly.datasets': 2 })
  expect(await pointsLeft()).toBe(2)
  for (const database of [core, metrics]) {
    const admin = await connectAdmin(database.adminUrl)
    const text = (await dumpDatabase(admin)).replaceAll(/^# nomaly.erasures\n.*$/gm, '')
    expect(text).not.toContain(tenantId)
  }
  await expect(resolveTenant(eraser.site.core, 'leaving')).rejects.toMatchObject({ code: 'not_found' })

  const ledger = await eraser.ledger()
  expect(await replayErasures(ledger, eraser.site, WORK)).toMatchObject({ replayed: [] })
  await ask(
    metrics,
    'insert into metrics.series (id, tenant_id, source_kind, source_id, metric, tags, retention, created_at) overriding system value select id, tenant_id, source_kind, source_id, metric, tags, retention, created_at from jsonb_populate_recordset(null::metrics.series, $1)',
    [JSON.stringify(series.map(({ row }) => row))],
  )
  await ask(metrics, 'delete from nomaly.applied_erasures')
  expect(await replayErasures(ledger, eraser.site, WORK)).toMatchObject({ replayed: [ledger[0]!.id] })
  expect(await ask(metrics, 'select from metrics.series where tenant_id = $1', [tenantId])).toEqual([])
})

test('of a person nothing is left but what they did, under another name', async () => {
  await using nomaly = await startTestNomaly({ worker: false })
  const { tenantId } = nomaly.tenant
  const admin = await connectAdmin(nomaly.database.adminUrl)
  const { id, key } = (await nomaly.request('POST', '/v1/keys', { body: { name: 'alice', role: 'admin' } }))
    .body
  const beta = await nomaly.createTenant('beta')
  await nomaly.request('POST', '/v1/keys', { key: beta.key, body: { name: 'bob', role: 'viewer' } })
  await nomaly.request('POST', '/v1/datasets', {
    key,
    body: { name: 'hers' },
    headers: { 'idempotency-key': 'k1' },
  })
  await nomaly.request('POST', '/v1/flags', { key, body: { key: 'flag' } })
  const link = (await nomaly.request('POST', '/v1/sign-in-links', { key })).body.path
  await nomaly.request('GET', link, { key: '', headers: { 'user-agent': 'curl/8' } })
  await admin.query(
    `insert into nomaly.audit_log (tenant_id, actor, action, subject_kind, subject_id) values (null, 'operator:alice', 'x', 'y', ''), ($1, 'key:alice', 'x', 'y', '')`,
    [beta.tenantId],
  )
  const config = testConfig({ databaseUrl: nomaly.databaseUrl, adminDatabaseUrl: nomaly.database.adminUrl })
  const eraser = await openEraser(config)
  const named = await resolveUser(eraser.site.core, 'alice', undefined)
  const { removed, id: erasureId } = await eraser.erase(named, 'me', WORK)
  expect(removed).toMatchObject({ keys: 1, sessions: 1, requests: 1, flagsChanged: 1, flagVersions: 1 })

  expect((await nomaly.request('GET', '/v1/datasets', { key })).status).toBe(401)
  const { rows } = await admin.query<{
    actor: string
    tenant_id: string | null
    action: string
    detail: object
  }>('select actor, tenant_id, action, detail from nomaly.audit_log order by id')
  const pseudonym = `erased:${erasureId.slice(0, 8)}`
  expect(rows.filter(({ actor }) => actor === pseudonym).map(({ action }) => action)).toEqual([
    'dataset.create',
    'flag.create',
    'x',
  ])
  expect(rows.find(({ action }) => action === 'browser.sign-in')?.detail).toEqual({})
  // Somebody else of that name, in another tenant.
  expect(rows.filter(({ actor }) => actor === 'key:alice').map((row) => row.tenant_id)).toEqual([
    beta.tenantId,
  ])
  const left = (await dumpDatabase(admin))
    .split('\n')
    .filter((line) => line.includes('alice') || line.includes(key))
  expect(left).toEqual([expect.stringContaining('"actor": "key:alice"')])
  expect(await admin.query('select from nomaly.api_keys where id = $1', [id])).toMatchObject({ rowCount: 0 })
  expect(JSON.stringify(await eraser.ledger())).not.toContain('alice')
  // The audit log is as closed as before.
  await expect(
    admin.query(
      `set role nomaly_owner; select set_config('nomaly.erasure', $$${erasureId}$$, false); update nomaly.audit_log set actor = 'nobody'`,
    ),
  ).resolves.toBeDefined()
  await admin.query('reset role')
  const again = await admin.query("select from nomaly.audit_log where actor = 'nobody'")
  expect(again.rowCount).toBe(0)
  expect((await nomaly.request('GET', '/v1/datasets')).status).toBe(200)
  expect(tenantId).toBe(named.subject.tenantId)
})

test('who is meant must be certain, and somebody must be left to administer', async () => {
  await using nomaly = await startTestNomaly({ worker: false })
  const beta = await nomaly.createTenant('beta')
  for (const key of [nomaly.tenant.key, beta.key])
    await nomaly.request('POST', '/v1/keys', { key, body: { name: 'carol', role: 'viewer' } })
  const config = testConfig({ databaseUrl: nomaly.databaseUrl, adminDatabaseUrl: nomaly.database.adminUrl })
  const { site } = await openEraser(config)
  await expect(resolveUser(site.core, 'carol', undefined)).rejects.toMatchObject({
    code: 'conflict',
    message: expect.stringContaining('beta, default'),
  })
  expect((await resolveUser(site.core, 'carol', 'beta')).subject).toMatchObject({ tenantId: beta.tenantId })
  const { requireOtherAdmin } = await import('../../src/operations/erasure/resolve-subject.ts')
  const only = await resolveUser(site.core, 'admin', 'beta')
  await expect(requireOtherAdmin(site.core, only.subject)).rejects.toMatchObject({ code: 'conflict' })
  await nomaly.request('POST', '/v1/keys', { key: beta.key, body: { name: 'second', role: 'admin' } })
  await requireOtherAdmin(site.core, only.subject)

  const { series } = await plantSeries(nomaly.store, { tenantId: beta.tenantId }, 'd', { a: [1] })
  await expect(
    resolveSeries(site.core, site.metrics.admin, [series.get('a')!], 'default'),
  ).rejects.toMatchObject({
    code: 'conflict',
  })
  await expect(resolveSeries(site.core, site.metrics.admin, [2 ** 30], undefined)).rejects.toMatchObject({
    code: 'not_found',
  })
})

test('a fresh backup is taken when all is done, and the receipt says when the last older one expires', async () => {
  await using nomaly = await startTestNomaly({ worker: false })
  await plantSeries(nomaly.store, { tenantId: nomaly.tenant.tenantId }, 'd', { gone: [1], kept: [2] })
  const admin = await connectAdmin(nomaly.database.adminUrl)
  const asked: Date[] = []
  const backups: ErasureBackups = {
    async take() {
      const { rowCount } = await admin.query("select from metrics.series where metric = 'gone'")
      return `backup of ${rowCount} series`
    },
    async lastExpiry(before) {
      asked.push(before)
      return new Date('2027-01-02T03:04:05Z')
    },
  }
  const config = testConfig({ databaseUrl: nomaly.databaseUrl, adminDatabaseUrl: nomaly.database.adminUrl })
  const eraser = await openEraser(config, { backups })
  const [row] = (await admin.query<{ id: number }>("select id from metrics.series where metric = 'gone'"))
    .rows
  const receipt = await eraser.erase(
    await resolveSeries(eraser.site.core, eraser.site.metrics.admin, [row!.id], undefined),
    'me',
    WORK,
  )
  expect(receipt.backups).toEqual({ fresh: 'backup of 0 series', olderExpireAt: '2027-01-02T03:04:05.000Z' })
  expect(asked).toHaveLength(1)
  expect((await eraser.ledger())[0]).toMatchObject({ receipt, requestedBy: 'me' })
})

test('an administrator who is no superuser rewrites the tables, and is told what is left', async () => {
  const database = await createTestDatabase()
  onTestFinished(() => database.drop())
  const name = `eraser_${randomUUID().slice(0, 8)}`
  const root = new pg.Client({ connectionString: await findServer() })
  await root.connect()
  onTestFinished(() => root.end())
  await root.query(
    `create role ${name} login createrole password 'test'; grant nomaly_owner, nomaly_app, nomaly_system to ${name} with admin option`,
  )
  onTestFinished(async () => {
    await database.drop()
    await root.query(`drop owned by ${name}; drop role ${name}`)
  })
  await root.query(`alter database "${database.name}" owner to ${name}`)
  const url = new URL(database.adminUrl)
  url.username = name
  url.password = 'test'
  await migrateInstance({ adminUrl: url.href }, 'partitioned', () => {})
  const config = testConfig({ databaseUrl: url.href })
  const store = await openStore(config, url.href, () => {})
  const { id: tenantId } = await store.tenants.create('t')
  const { series } = await plantSeries(store, { tenantId }, 'd', { gone: [1], kept: [2] })
  await store[Symbol.asyncDispose]()
  const eraser = await openEraser(config)
  const { core, metrics } = eraser.site
  const receipt = await eraser.erase(
    await resolveSeries(core, metrics.admin, [series.get('gone')!], undefined),
    'me',
    WORK,
  )
  expect(receipt.left).toEqual([expect.stringContaining('takes a superuser')])
  expect(receipt.writeAheadLogs).toEqual([{ database: 'core', segments: 0, isClean: false }])
  const tables = receipt.rewritten.map(({ table }) => table)
  expect(tables).toEqual(
    expect.arrayContaining(['metrics.series', 'metrics.latest_points', 'nomaly.anomalies']),
  )
  expect(tables.filter((table) => table.startsWith('metrics.points_forever_'))).toHaveLength(1)
})

test('nothing is erased while points are being moved, or by two at once', async () => {
  const { database, databaseUrl } = await createMigratedDatabase(testConfig({ metricsEngine: 'partitioned' }))
  onTestFinished(() => database.drop())
  const config = testConfig({ databaseUrl, adminDatabaseUrl: database.adminUrl })
  const store = await openStore(config, databaseUrl, () => {})
  onTestFinished(() => store[Symbol.asyncDispose]())
  const { id: tenantId } = await store.tenants.create('t')
  await plantSeries(store, { tenantId }, 'd', { a: [1] })
  const admin = await connectAdmin(database.adminUrl)
  const [first, second] = [await openEraser(config), await openEraser(config)]
  const named = await resolveTenant(first.site.core, 't')
  await admin.query(
    "insert into metrics.engine (name, moving_to) values ('partitioned', 'timescale') on conflict (only_row) do update set moving_to = 'timescale'",
  )
  await expect(first.erase(named, 'me', WORK)).rejects.toMatchObject({
    code: 'conflict',
    hint: expect.stringContaining('metrics move'),
  })
  await admin.query('update metrics.engine set moving_to = null')
  await admin.query('select pg_advisory_lock(4207310023)')
  await expect(second.erase(named, 'me', WORK)).rejects.toMatchObject({ code: 'conflict' })
  await admin.query('select pg_advisory_unlock(4207310023)')
  // What was refused stands in the ledger already, and is gone on with.
  const receipts = await second.resume(WORK)
  expect(receipts).toHaveLength(1)
  expect(receipts[0]!.removed).toMatchObject({ 'nomaly.tenants': 1, points: 1 })
  expect(await second.resume(WORK)).toEqual([])
})

test('an entry of another installation is not for this database', async () => {
  const { database, databaseUrl } = await createMigratedDatabase()
  onTestFinished(() => database.drop())
  const eraser = await openEraser(testConfig({ databaseUrl, adminDatabaseUrl: database.adminUrl }))
  const store = await openStore(testConfig(), databaseUrl, () => {})
  onTestFinished(() => store[Symbol.asyncDispose]())
  const { id: tenantId } = await store.tenants.create('t')
  const entry = {
    id: randomUUID(),
    installationId: randomUUID(),
    requestedAt: '2026-01-01T00:00:00.000Z',
    subject: { kind: 'tenant', tenantId },
  } as const
  expect(await replayErasures([entry], eraser.site, WORK)).toMatchObject({ replayed: [] })
  await noteErasure(eraser.site.core, entry, 'me')
  expect(await store.tenants.list()).toHaveLength(1)
})
