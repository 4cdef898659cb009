import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import pg from 'pg'
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest'
import { migrate, type MigrateOptions } from '../../src/database/migrator.ts'
import { urlForLogin } from '../../src/operations/connection-urls.ts'
import { MIGRATION_SETS, migrateInstance, openInstance } from '../../src/operations/open-instance.ts'
import { testConfig } from '../support/nomaly.ts'
import { startTestServer, type TestServer } from '../support/postgres.ts'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'

// A server of its own: roles belong to the whole server, and these tests make and lack them.
let server: TestServer

beforeAll(async () => {
  server = await startTestServer()
})
afterAll(() => server?.stop())

async function ask<Row extends pg.QueryResultRow>(
  url: string,
  text: string,
  values?: unknown[],
): Promise<Row[]> {
  const client = new pg.Client({ connectionString: url })
  await client.connect()
  try {
    return (await client.query<Row>(text, values)).rows
  } finally {
    await client.end()
  }
}

let databases = 0

/** An empty database, which belongs to `owner`. */
async function createDatabase(owner = 'postgres'): Promise<string> {
  const name = `migrator_${databases++}`
  await ask(server.adminUrl, `create database ${name} owner ${owner}`)
  const url = new URL(server.adminUrl)
  url.pathname = `/${name}`
  return url.href
}

async function createLogin(name: string, attributes = ''): Promise<(url: string) => string> {
  await ask(server.adminUrl, `create role ${name} login password 'secret' ${attributes}`)
  return (url) => urlForLogin(url, name, 'secret')
}

const LOGIN = { name: 'app_login', password: 'app' }

function run(adminUrl: string, changes: Partial<MigrateOptions> = {}): ReturnType<typeof migrate> {
  return migrate({ adminUrl, sets: MIGRATION_SETS, applicationLogin: LOGIN, ...changes })
}

/** What the files of the sets are called, in order. */
async function files(): Promise<string[]> {
  const directory = join(import.meta.dirname, '..', '..', 'src', 'database', 'migrations')
  const bySet = await Promise.all(
    ['foundation', ...MIGRATION_SETS].map(async (set) =>
      (await readdir(join(directory, set)))
        .filter((file) => file.endsWith('.sql'))
        .toSorted()
        .map((file) => `${set}/${file.replace(/\.sql$/, '')}`),
    ),
  )
  return bySet.flat()
}

test('an empty database gets every migration in order, and none of them twice', async () => {
  const url = await createDatabase()
  expect((await run(url)).applied).toEqual(await files())
  expect((await run(url)).applied).toEqual([])
  const checksums = await ask(url, 'select from nomaly.migration_checksums')
  expect(checksums).toHaveLength((await files()).length)
})

test('of two processes that migrate at once, one does, and both find the schema', async () => {
  const url = await createDatabase()
  const reports = await Promise.all([run(url), run(url), run(url)])
  expect(reports.map(({ applied }) => applied.length).toSorted((a, b) => a - b)).toEqual([
    0,
    0,
    (await files()).length,
  ])
})

test('a file that was changed after it had been applied is refused, and nothing is done', async () => {
  const url = await createDatabase()
  await run(url, { sets: ['core'] })
  await ask(url, "update nomaly.migration_checksums set sha256 = 'another' where name like '0002%'")
  await expect(run(url)).rejects.toMatchObject({
    code: 'conflict',
    message: expect.stringContaining('core/0002'),
    hint: expect.stringContaining('Reinstall'),
  })
  expect(await ask(url, "select from pg_tables where schemaname = 'metrics'")).toEqual([])
})

test('a database of a newer version is refused', async () => {
  const url = await createDatabase()
  await run(url)
  await ask(url, "insert into nomaly.migration_checksums values ('core', '9999_from_the_future', 'x')")
  await expect(run(url)).rejects.toMatchObject({
    code: 'conflict',
    message: expect.stringContaining('9999_from_the_future'),
    hint: expect.stringContaining('newer version'),
  })
})

test('a migration that fails leaves nothing half done', async () => {
  const url = await createDatabase()
  await run(url, { sets: ['core'] })
  await ask(url, 'create table metrics.series (mine int)')
  await expect(run(url)).rejects.toThrow('relation "series" already exists')
  expect(await ask(url, "select from nomaly.migration_checksums where set_name like 'metrics%'")).toEqual([])
  expect(await ask(url, "select tablename from pg_tables where schemaname = 'metrics'")).toEqual([
    { tablename: 'series' },
  ])
  await ask(url, 'drop table metrics.series')
  expect((await run(url)).applied.length).toBeGreaterThan(0)
})

describe('roles', () => {
  test('the owner cannot log in, and the application is bound by what its roles may', async () => {
    const url = await createDatabase()
    await run(url)
    const roles = await ask(
      url,
      `select rolname as name, rolcanlogin as login, rolsuper as super, rolinherit as inherit, rolbypassrls as bypass,
         rolcreaterole or rolcreatedb or rolreplication as more
       from pg_roles where rolname in ('nomaly_owner', 'nomaly_app', 'nomaly_system', '${LOGIN.name}') order by 1`,
    )
    const nobody = { login: false, super: false, bypass: false, more: false }
    expect(roles).toEqual([
      { ...nobody, name: LOGIN.name, login: true, inherit: false },
      { ...nobody, name: 'nomaly_app', inherit: expect.anything() },
      { ...nobody, name: 'nomaly_owner', inherit: expect.anything() },
      { ...nobody, name: 'nomaly_system', inherit: expect.anything() },
    ])
    const members = await ask(
      url,
      `select m.rolname as member, g.rolname as of from pg_auth_members a
       join pg_roles m on m.oid = a.member join pg_roles g on g.oid = a.roleid where m.rolname ~ '^(nomaly|app)_' order by 2`,
    )
    expect(members).toEqual([
      { member: LOGIN.name, of: 'nomaly_app' },
      { member: LOGIN.name, of: 'nomaly_system' },
    ])
    const login = urlForLogin(url, LOGIN.name, LOGIN.password)
    await expect(ask(login, 'set role nomaly_owner')).rejects.toThrow('permission denied')
    await expect(ask(login, 'select from nomaly.jobs')).rejects.toThrow('permission denied')
    await expect(ask(login, 'set role nomaly_system; create table nomaly.mine (x int)')).rejects.toThrow(
      'permission denied',
    )
  })

  test('everything belongs to the owner, the queue to the system, and what stands in for the system too', async () => {
    const url = await createDatabase()
    await run(url)
    const owners = await ask(
      url,
      `select n.nspname as schema, array_agg(distinct r.rolname::text) as owners from pg_class c
       join pg_namespace n on n.oid = c.relnamespace join pg_roles r on r.oid = c.relowner
       where n.nspname in ('nomaly', 'metrics', 'pgboss') and c.relname not like 'anomaly\\_metrics%' group by 1 order by 1`,
    )
    const views = await ask(
      url,
      `select viewname as name, viewowner as owner from pg_views where schemaname in ('nomaly', 'metrics') order by 1`,
    )
    expect(views).toEqual([
      { name: 'anomaly_metrics', owner: 'nomaly_system' },
      { name: 'anomaly_metrics_partitioned', owner: 'nomaly_system' },
      { name: 'sql_points_partitioned', owner: 'nomaly_owner' },
    ])
    await expect(ask(url, 'set role nomaly_system; create table metrics.mine (x int)')).rejects.toThrow(
      'permission denied',
    )
    expect(owners).toEqual([
      { schema: 'metrics', owners: ['nomaly_owner'] },
      { schema: 'nomaly', owners: ['nomaly_owner'] },
      { schema: 'pgboss', owners: ['nomaly_system'] },
    ])
  })

  test('a new password for the login replaces the one it had', async () => {
    const url = await createDatabase()
    await run(url, { applicationLogin: { name: 'rotated', password: 'one' } })
    await run(url, { applicationLogin: { name: 'rotated', password: "two'; --" } })
    expect(await ask(urlForLogin(url, 'rotated', "two'; --"), 'select 1 as one')).toEqual([{ one: 1 }])
    await expect(ask(urlForLogin(url, 'rotated', 'one'), 'select 1 as one')).rejects.toThrow('password')
  })
})

/** Starts an installation on a server of the user's own, writes and reads, and ends it. */
async function useInstallation(settings: { databaseUrl: string; adminDatabaseUrl?: string }): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), 'nomaly-migrator-'))
  onTestFinished(() => rm(folder, { recursive: true, force: true }))
  await using instance = await openInstance(
    testConfig({ dataDirectory: folder, ...settings }),
    'test',
    () => {},
  )
  const scope = { tenantId: instance.tenantId }
  const { value: dataset } = await instance.store.transaction(scope, async (unit) => {
    const created = await unit.datasets.create({ name: 'shop' })
    await unit.outbox.add('dataset', { id: created.id, change: 'created' })
    await unit.queue.send('drop-source', { tenantId: scope.tenantId, sourceId: created.id }, 'key')
    return created
  })
  const { value } = await instance.store.metrics.append(scope, {
    source: { kind: 'dataset', id: dataset.id, retention: 'forever' },
    keys: [{ metric: 'orders', tags: {} }],
    series: Uint32Array.of(0, 0),
    timesMs: Float64Array.of(1_700_000_000_000, 1_700_000_060_000),
    values: Float64Array.of(1, 2),
  })
  expect(value).toMatchObject({ inserted: 2 })
  expect(await instance.store.metrics.listSeries(scope, { sourceId: dataset.id, limit: 10 })).toHaveLength(1)
  // Tenants are apart for this login as for any other.
  const stranger = { tenantId: '11111111-2222-4333-8444-555555555555' }
  expect(await instance.store.read(stranger, 'latest').datasets.find('shop')).toBeUndefined()
}

describe('a server of the user’s own', () => {
  test('as superuser', async () => {
    await useInstallation({ databaseUrl: await createDatabase() })
  })

  test('with one login for migrations and another, existing one for the application', async () => {
    const url = await createDatabase()
    const asApp = await createLogin('plain_app')
    await useInstallation({ databaseUrl: asApp(url), adminDatabaseUrl: url })
    const [login] = await ask<{ member: boolean; super: boolean }>(
      url,
      "select pg_has_role('plain_app', 'nomaly_owner', 'member') as member, rolsuper as super from pg_roles where rolname = 'plain_app'",
    )
    expect(login).toEqual({ member: false, super: false })
  })

  test('with a login that may not create roles: it is told what is missing', async () => {
    const asNobody = await createLogin('may_nothing')
    const url = asNobody(await createDatabase('may_nothing'))
    await expect(migrate({ adminUrl: url, sets: MIGRATION_SETS })).rejects.toMatchObject({
      code: 'forbidden',
      hint: expect.stringContaining('ADMIN_DATABASE_URL'),
    })
  })
})

test('several databases of one server, all migrated at once, want the same roles and get them', async () => {
  await using fresh = await startTestServer()
  const urls = await Promise.all(
    Array.from({ length: 6 }, async (_, n) => {
      await ask(fresh.adminUrl, `create database together_${n}`)
      const url = new URL(fresh.adminUrl)
      url.pathname = `/together_${n}`
      return url.href
    }),
  )
  for (let round = 0; round < 2; round++)
    await Promise.all(
      urls.map((adminUrl) => migrate({ adminUrl, sets: ['metrics-partitioned'], applicationLogin: LOGIN })),
    )
  for (const url of urls)
    expect(await ask(urlForLogin(url, LOGIN.name, LOGIN.password), 'select 1 as one')).toEqual([{ one: 1 }])
})

test('on a server that has never seen the product, a login that may create roles is enough', async () => {
  await using fresh = await startTestServer()
  const asAdmin = (url: string): string => urlForLogin(url, 'limited', 'secret')
  await ask(fresh.adminUrl, "create role limited login createrole password 'secret'")
  await ask(fresh.adminUrl, 'create database limited owner limited')
  const url = new URL(fresh.adminUrl)
  url.pathname = '/limited'
  await useInstallation({ databaseUrl: asAdmin(url.href) })
  // Again: what it made the first time must not be in its way.
  const again = await migrateInstance({ adminUrl: asAdmin(url.href) }, 'auto', () => {})
  expect(again.applied).toEqual([])
  await expect(ask(asAdmin(url.href), 'select from nomaly.jobs')).rejects.toThrow('permission denied')
})
