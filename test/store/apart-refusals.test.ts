import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, onTestFinished, test } from 'vitest'
import { urlForLogin } from '../../src/operations/connection-urls.ts'
import { openInstance } from '../../src/operations/open-instance.ts'
import { openStore } from '../../src/store/open-store.ts'
import {
  asApplication,
  ask,
  createApartDatabases,
  emptyDatabase,
  migrateBoth,
  startApart,
} from '../support/apart.ts'
import { createMigratedDatabase, startTestNomaly, testConfig } from '../support/nomaly.ts'

/** Opens a store as any process does, and closes it. */
async function open(databaseUrl: string, metricsDatabaseUrl?: string): Promise<void> {
  await using store = await openStore(testConfig({ metricsDatabaseUrl }), databaseUrl, () => {})
  await store.health()
}

async function tables(database: { adminUrl: string }): Promise<string[]> {
  const rows = await ask<{ name: string }>(
    database,
    "select schemaname || '.' || tablename as name from pg_tables where schemaname in ('nomaly', 'metrics', 'pgboss')",
  )
  return rows.map(({ name }) => name)
}

describe('two databases of one installation', () => {
  test('each have what is theirs, and nothing of the other', async () => {
    const { core, metrics, databaseUrl, metricsDatabaseUrl } = await createApartDatabases()
    const [inCore, inMetrics] = [await tables(core), await tables(metrics)]
    expect(inCore).toEqual(expect.arrayContaining(['nomaly.datasets', 'pgboss.job', 'nomaly.commit_markers']))
    expect(inCore.filter((name) => name.startsWith('metrics.'))).toEqual([])
    expect(inMetrics).toEqual(expect.arrayContaining(['metrics.series', 'nomaly.commit_markers']))
    expect(inMetrics.filter((name) => /^pgboss\.|nomaly\.datasets/.test(name))).toEqual([])
    await open(databaseUrl, metricsDatabaseUrl)
    expect(await migrateBoth(core.adminUrl, metrics.adminUrl)).toEqual([])
    const ids = await Promise.all(
      [core, metrics].map((one) => ask(one, 'select id, metrics_id from nomaly.installation')),
    )
    expect(ids[0]).toEqual(ids[1])
  })

  test('may be made by several processes at once', async () => {
    const [core, metrics] = [await emptyDatabase(), await emptyDatabase()]
    await Promise.all([1, 2, 3].map(() => migrateBoth(core.adminUrl, metrics.adminUrl)))
    await open(asApplication(core.adminUrl), asApplication(metrics.adminUrl))
  })

  test.each([
    [
      'after the core has its id',
      "update nomaly.installation set holds = 'everything', metrics_id = null",
      'delete from nomaly.installation',
    ],
    [
      'after the metrics know it',
      "update nomaly.installation set holds = 'everything', metrics_id = null",
      'select 1',
    ],
  ])('are found together by the next start where the first died %s', async (_when, inCore, inMetrics) => {
    const { core, metrics, databaseUrl, metricsDatabaseUrl } = await createApartDatabases()
    await ask(core, inCore)
    await ask(metrics, inMetrics)
    await expect(open(databaseUrl, metricsDatabaseUrl)).rejects.toMatchObject({
      code: 'conflict',
      hint: expect.stringContaining('nomaly migrate'),
    })
    await migrateBoth(core.adminUrl, metrics.adminUrl)
    await open(databaseUrl, metricsDatabaseUrl)
  })

  test('may begin with a core that was used without points', async () => {
    const { database, databaseUrl } = await createMigratedDatabase()
    onTestFinished(() => database.drop())
    const metrics = await emptyDatabase()
    await migrateBoth(database.adminUrl, metrics.adminUrl)
    await open(databaseUrl, asApplication(metrics.adminUrl))
  })

  test('may have logins of their own for migrations, each that of the application', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'nomaly-apart-'))
    onTestFinished(() => rm(folder, { recursive: true, force: true }))
    const [core, metrics] = [await emptyDatabase(), await emptyDatabase()]
    const [app, metricsApp] = ['nomaly_apart_test_app', 'nomaly_apart_test_metrics_app']
    for (const login of [app, metricsApp])
      await ask(
        core,
        `do $$ begin create role ${login} login noinherit password 'test'; exception when duplicate_object then null; end $$`,
      )
    const config = testConfig({
      dataDirectory: folder,
      databaseUrl: urlForLogin(core.adminUrl, app, 'test'),
      adminDatabaseUrl: core.adminUrl,
      metricsDatabaseUrl: urlForLogin(metrics.adminUrl, metricsApp, 'test'),
      metricsAdminDatabaseUrl: metrics.adminUrl,
    })
    for (let start = 0; start < 2; start++) {
      await using instance = await openInstance(config, 'test', () => {})
      expect((await instance.store.health()).status).toBe('ready')
      expect(await instance.store.metrics.listSeries({ tenantId: instance.tenantId }, {})).toEqual([])
    }
  })

  test('may be an embedded core and a server of the user’s own', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'nomaly-apart-'))
    onTestFinished(() => rm(folder, { recursive: true, force: true }))
    const metrics = await emptyDatabase()
    const config = testConfig({
      dataDirectory: folder,
      embeddedDatabasePort: 40_000 + Math.floor(Math.random() * 15_000),
      metricsDatabaseUrl: metrics.adminUrl,
    })
    await using instance = await openInstance(config, 'test', () => {})
    const scope = { tenantId: instance.tenantId }
    const { value: dataset } = await instance.store.transaction(scope, (unit) =>
      unit.datasets.create({ name: 'shop' }),
    )
    await instance.store.metrics.append(scope, {
      source: { kind: 'dataset', id: dataset.id, retention: 'forever' },
      keys: [{ metric: 'orders', tags: {} }],
      series: Uint32Array.of(0),
      timesMs: Float64Array.of(1_700_000_000_000),
      values: Float64Array.of(1),
    })
    expect(await ask(metrics, 'select metric from metrics.series')).toEqual([{ metric: 'orders' }])
  })
})

describe('refused, with a hint, and without a change', () => {
  async function expectRefusal(
    coreUrl: string,
    metricsUrl: string | undefined,
    message: RegExp,
  ): Promise<void> {
    const refusal = {
      code: 'conflict',
      message: expect.stringMatching(message),
      hint: expect.stringMatching(/\w/),
    }
    await expect(migrateBoth(coreUrl, metricsUrl)).rejects.toMatchObject(refusal)
  }

  test('the metrics of another installation', async () => {
    const [ours, theirs] = [await createApartDatabases(), await createApartDatabases()]
    await expectRefusal(ours.core.adminUrl, theirs.metrics.adminUrl, /another installation/)
    await expect(open(ours.databaseUrl, theirs.metricsDatabaseUrl)).rejects.toMatchObject({
      code: 'conflict',
    })
    // A new installation takes them over no more than an old one.
    const fresh = await emptyDatabase()
    await expectRefusal(fresh.adminUrl, theirs.metrics.adminUrl, /another installation/)
    expect(await tables(fresh)).toEqual([])
    await open(theirs.databaseUrl, theirs.metricsDatabaseUrl)
  })

  test('a core that has points, with another database for them', async () => {
    const nomaly = await startTestNomaly({ worker: false })
    onTestFinished(() => nomaly[Symbol.asyncDispose]())
    await nomaly.request('POST', '/v1/datasets', { body: { name: 'shop' } })
    await nomaly.request('POST', '/v1/datasets/shop/points', {
      body: '{"time":1700000000000,"metric":"orders","value":1}',
      headers: { 'content-type': 'application/x-ndjson' },
    })
    const empty = await emptyDatabase()
    await expectRefusal(nomaly.database.adminUrl, empty.adminUrl, /in its core database/)
    expect(await tables(empty)).toEqual([])
    await open(nomaly.databaseUrl)
  })

  test('logins for anomaly_metrics in the core, with another database for its points', async () => {
    const { database } = await createMigratedDatabase()
    onTestFinished(() => database.drop())
    await ask(database, "insert into metrics.logins (login, tenant_id) values ('grafana', gen_random_uuid())")
    await expectRefusal(database.adminUrl, (await emptyDatabase()).adminUrl, /in its core database/)
  })

  test('a start without METRICS_DATABASE_URL, where it was there before', async () => {
    const { core, databaseUrl } = await createApartDatabases()
    await expectRefusal(core.adminUrl, undefined, /METRICS_DATABASE_URL is not set/)
    await expect(open(databaseUrl)).rejects.toMatchObject({ code: 'conflict' })
  })

  test('an empty database, or an earlier one, in the place of the one with the metrics', async () => {
    const { core, metrics, databaseUrl } = await createApartDatabases()
    const empty = await emptyDatabase()
    await expectRefusal(core.adminUrl, empty.adminUrl, /another database than the one/)
    expect(await tables(empty)).toEqual([])
    await ask(metrics, 'update nomaly.installation set metrics_id = gen_random_uuid()')
    await expectRefusal(core.adminUrl, metrics.adminUrl, /another database than the one/)
    // As the guide says for who has lost the metrics.
    await ask(core, "update nomaly.installation set holds = 'everything', metrics_id = null")
    await migrateBoth(core.adminUrl, empty.adminUrl)
    await open(databaseUrl, asApplication(empty.adminUrl))
  })

  test('points that belong to nobody', async () => {
    const { metrics } = await createApartDatabases()
    await ask(metrics, 'insert into metrics.latest_points (series_id) values (1)')
    await ask(metrics, 'delete from nomaly.installation')
    await expectRefusal((await emptyDatabase()).adminUrl, metrics.adminUrl, /no known installation/)
  })

  test('the same database twice, by whatever address', async () => {
    const database = await emptyDatabase()
    const again = new URL(database.adminUrl)
    again.hostname = again.hostname === 'localhost' ? '127.0.0.1' : 'localhost'
    await expectRefusal(database.adminUrl, again.href, /the same database/)
    expect(await tables(database)).toEqual([])
  })

  test('a database that does not answer, is not there, or does not let us in', async () => {
    const core = await emptyDatabase()
    const given = (change: (url: URL) => void): string => {
      const url = new URL(core.adminUrl)
      change(url)
      return url.href
    }
    const absent = given((url) => (url.pathname = '/nowhere_to_be_found'))
    const nobody = given((url) => (url.username = 'nobody_of_that_name'))
    const silent = given((url) => (url.port = '1'))
    for (const [url, code] of [
      [absent, 'invalid_input'],
      [nobody, 'invalid_input'],
      [silent, 'unavailable'],
    ] as const) {
      await expect(migrateBoth(core.adminUrl, url)).rejects.toMatchObject({
        code,
        message: expect.stringContaining('The metrics database'),
      })
      await expect(migrateBoth(url)).rejects.toMatchObject({
        code,
        message: expect.stringContaining('The database'),
      })
    }
    expect(await tables(core)).toEqual([])
  })

  test('a core in the place of the metrics, and metrics in the place of the core', async () => {
    const [ours, theirs] = [await createApartDatabases(), await createApartDatabases()]
    await expectRefusal(ours.core.adminUrl, theirs.core.adminUrl, /names the core database/)
    await expectRefusal(ours.metrics.adminUrl, undefined, /holds the metrics/)
    await expectRefusal(ours.metrics.adminUrl, ours.core.adminUrl, /holds the metrics/)
    await expect(open(asApplication(ours.metrics.adminUrl))).rejects.toMatchObject({ code: 'conflict' })
  })

  test('points from a process that knows of one database only, once there are two', async () => {
    const { database, databaseUrl } = await createMigratedDatabase()
    onTestFinished(() => database.drop())
    await using old = await openStore(testConfig(), databaseUrl, () => {})
    const { id: tenantId } = await old.tenants.create('tenant')
    const { value: dataset } = await old.transaction({ tenantId }, (unit) =>
      unit.datasets.create({ name: 'shop' }),
    )
    await migrateBoth(database.adminUrl, (await emptyDatabase()).adminUrl)
    const append = old.metrics.append(
      { tenantId },
      {
        source: { kind: 'dataset', id: dataset.id, retention: 'forever' },
        keys: [{ metric: 'orders', tags: {} }],
        series: Uint32Array.of(0),
        timesMs: Float64Array.of(1_700_000_000_000),
        values: Float64Array.of(1),
      },
    )
    await expect(append).rejects.toMatchObject({
      code: 'unavailable',
      hint: expect.stringContaining('METRICS_DATABASE_URL'),
    })
    expect(await ask(database, 'select from metrics.latest_points')).toEqual([])
  })
})

test('ids of series are not given again after the metrics were restored to an older state', async () => {
  const databases = await createApartDatabases()
  const nomaly = await startApart(databases, { worker: false })
  const { tenantId } = nomaly.tenant
  await nomaly.request('POST', '/v1/datasets', { body: { name: 'shop' } })
  const { body: job } = await nomaly.request('POST', '/v1/jobs', {
    body: { dataset: 'shop', schedule: { kind: 'once' } },
  })
  await ask(
    databases.core,
    `insert into nomaly.detector_states (tenant_id, job_id, series_id, run_id, revision, state)
     values ($1, $2, 4711, $3, 1, '{}')`,
    [tenantId, job.id, job.lastRun.id],
  )
  await migrateBoth(databases.core.adminUrl, databases.metrics.adminUrl)
  await nomaly.request('POST', '/v1/datasets/shop/points', {
    body: '{"time":1700000000000,"metric":"orders","value":1}',
    headers: { 'content-type': 'application/x-ndjson' },
  })
  expect(await ask(databases.metrics, 'select id from metrics.series')).toEqual([{ id: 4712 }])
})
