import { randomUUID } from 'node:crypto'
import { expect, onTestFinished, test } from 'vitest'
import { exportPerson } from '../../src/operations/erasure/export-person.ts'
import { resolveSeries, resolveUser } from '../../src/operations/erasure/resolve-subject.ts'
import { eventually, startTestNomaly, testConfig, type TestNomaly } from '../support/nomaly.ts'
import { connectAdmin, dumpDatabase, openEraser, pointsTable, WORK } from './eraser-fixture.ts'

const NEIGHBOURS = 'isadora@example.org, x.dora@example.org, dora@example.org.uk'

async function start(): Promise<TestNomaly> {
  const nomaly = await startTestNomaly()
  onTestFinished(() => nomaly[Symbol.asyncDispose]())
  await eventually(async () => (await nomaly.request('GET', '/v1/datasets')).status === 200)
  return nomaly
}

function configOf(nomaly: TestNomaly) {
  return testConfig({ databaseUrl: nomaly.databaseUrl, adminDatabaseUrl: nomaly.database.adminUrl })
}

test('an account from another system is exported without its hash, and erased with what was written of it', async () => {
  const nomaly = await start()
  const admin = await connectAdmin(nomaly.database.adminUrl)
  const { tenantId } = nomaly.tenant
  const [id, other] = [randomUUID(), randomUUID()]
  const hash = `$2b$12$${'a'.repeat(53)}`
  for (const [account, name] of [
    [id, 'dora'],
    [other, 'emil'],
  ])
    await admin.query(
      `insert into nomaly.users (tenant_id, id, email, username, status, password_hash, created_at, updated_at)
       values ($1, $2, $3, $4, 'active', $5, now(), now())`,
      [tenantId, account, `${name}@example.org`, name, hash],
    )
  await admin.query(
    "insert into nomaly.role_grants (tenant_id, user_id, role, granted_at) values ($1, $2, 'admin', now())",
    [tenantId, id],
  )
  await admin.query(
    "insert into nomaly.role_grants (tenant_id, user_id, role, granted_at, granted_by) values ($1, $2, 'viewer', now(), $3)",
    [tenantId, other, id],
  )
  for (const [source, record] of [
    ['1', { who: id }],
    ['2', { to: 'Dora@Example.org' }],
    ['3', { to: 'emil@example.org' }],
    // Of others, whose addresses have theirs in them.
    ['4', { to: NEIGHBOURS }],
    ['5', { text: 'Sent by\ndora@example.org. Done.' }],
  ] as const)
    await admin.query("insert into nomaly.imported_records values ($1, 'audit_log', $2, $3)", [
      tenantId,
      source,
      JSON.stringify(record),
    ])
  const eraser = await openEraser(configOf(nomaly))
  const { core } = eraser.site
  const named = await resolveUser(core, 'DORA@example.org', undefined)
  const { subject } = named
  const parts = exportPerson(core, { name: 'dora', subject, now: new Date(), signal: WORK.signal })
  const text = (await Array.fromAsync(parts)).join('')
  expect(JSON.parse(text)).toMatchObject({
    accounts: [{ id, email: 'dora@example.org', username: 'dora' }],
    roleGrants: [{ userId: id, role: 'admin' }],
    importedRecords: [{ sourceId: '1' }, { sourceId: '2' }, { sourceId: '5' }],
  })
  expect(text).not.toContain('$2b$')
  const { removed } = await eraser.erase(named, 'me', WORK)
  expect(removed).toMatchObject({ accounts: 1, roleGrants: 1, grantsGiven: 1, importedRecords: 3 })
  const dump = await dumpDatabase(admin)
  expect(dump.replace(NEIGHBOURS, '')).not.toMatch(/dora/i)
  expect(dump).toContain(NEIGHBOURS)
  expect(dump).toContain('emil@example.org')
})

test('of several accounts of one name none is guessed', async () => {
  const nomaly = await start()
  const admin = await connectAdmin(nomaly.database.adminUrl)
  const [one, other] = [randomUUID(), randomUUID()]
  for (const id of [one, other])
    await admin.query(
      `insert into nomaly.users (tenant_id, id, email, username, status, created_at, updated_at)
       values ($1, $2, $3, 'dora', 'active', now(), now())`,
      [nomaly.tenant.tenantId, id, `${id}@example.org`],
    )
  const { core } = (await openEraser(configOf(nomaly))).site
  await expect(resolveUser(core, 'dora', undefined)).rejects.toMatchObject({
    code: 'conflict',
    message: expect.stringContaining(other),
  })
  expect((await resolveUser(core, one, undefined)).subject.accountIds).toEqual([one])
})

test('what a backfill has gathered of erased series is not merged, and the rest is', async () => {
  const nomaly = await start()
  const { body: dataset } = await nomaly.request('POST', '/v1/datasets', { body: { name: 'old' } })
  const path = '/v1/datasets/old/backfills'
  const { id } = (await nomaly.request('POST', path)).body
  const lines = (from: number): string =>
    ['gone', 'kept']
      .flatMap((metric) =>
        Array.from({ length: 10 }, (_, index) =>
          JSON.stringify({ time: 1_735_689_600_000 + (from + index) * 60_000, metric, value: index }),
        ),
      )
      .join('\n')
  const send = (part: number) =>
    nomaly.request('PUT', `${path}/${id}/parts/${part}`, {
      body: lines(part * 100),
      headers: { 'content-type': 'application/x-ndjson' },
    })
  expect((await send(1)).status).toBeLessThan(300)
  const scope = { tenantId: nomaly.tenant.tenantId }
  const listed = await nomaly.store.metrics.listSeries(scope, { sourceId: dataset.id })
  const gone = listed.find(({ metric }) => metric === 'gone')!
  const eraser = await openEraser(configOf(nomaly))
  const { core, metrics } = eraser.site
  const { removed } = await eraser.erase(
    await resolveSeries(core, metrics.admin, [gone.id], undefined),
    'me',
    WORK,
  )
  expect(removed).toMatchObject({ series: 1 })
  await nomaly.request('POST', `${path}/${id}/finish`, { body: { parts: 1 } })
  await eventually(async () => (await nomaly.request('GET', `${path}/${id}`)).body.status === 'completed')
  const admin = await connectAdmin(nomaly.database.adminUrl)
  const { rows } = await admin.query<{ series_id: number; count: number }>(
    `select series_id, count(*)::int as count from ${await pointsTable(admin)} group by 1`,
  )
  expect(rows).toEqual([{ series_id: listed.find(({ metric }) => metric === 'kept')!.id, count: 10 }])
})

test('a worker that finds something in the meantime finds it in vain', async () => {
  const nomaly = await start()
  const { tenantId } = nomaly.tenant
  await nomaly.request('POST', '/v1/datasets', { body: { name: 'live' } })
  await nomaly.request('POST', '/v1/jobs', {
    body: {
      name: 'watch',
      dataset: 'live',
      detector: { algorithm: 'robust-z' },
      schedule: { kind: 'streaming' },
    },
  })
  const points = Array.from({ length: 2_000 }, (_, index) => ({
    time: 1_767_225_600_000 + index * 60_000,
    metric: 'magpie',
    value: index % 400 === 399 ? 1_000 : 100 + ((index * 7919) % 13),
  }))
  await nomaly.request('POST', '/v1/datasets/live/points', { body: points })
  const admin = await connectAdmin(nomaly.database.adminUrl)
  // Wherever the worker is by now: before, in the midst of, or after its look at these points.
  const [row] = (await admin.query<{ id: number }>("select id from metrics.series where metric = 'magpie'"))
    .rows
  const eraser = await openEraser(configOf(nomaly))
  const { core, metrics } = eraser.site
  await eraser.erase(await resolveSeries(core, metrics.admin, [row!.id], undefined), 'me', WORK)
  const left = async (): Promise<string> => {
    const dump = await dumpDatabase(admin)
    return dump
      .split('\n')
      .filter((line) => line.includes('magpie'))
      .join('\n')
  }
  expect(await left()).toBe('')
  const states = await admin.query('select from nomaly.detector_states where tenant_id = $1', [tenantId])
  expect(states.rowCount).toBe(0)
})
