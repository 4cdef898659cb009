import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { SelfWatch } from '../../src/operations/self-watch.ts'
import { pruneMarkers } from '../../src/store/relay.ts'
import { createLogger } from '../../src/telemetry/logger.ts'
import { normal } from '../detection/synthetic-series.ts'
import {
  type ApartDatabases,
  asApplication,
  ask,
  createApartDatabases,
  emptyDatabase,
  migrateBoth,
  startApart,
} from '../support/apart.ts'
import { eventually, type TestAnswer, type TestNomaly } from '../support/nomaly.ts'
import { startTestServer } from '../support/postgres.ts'
import { TcpProxy } from '../support/tcp-proxy.ts'

const START_MS = Date.UTC(2025, 2, 3)

/** Adds points `from` to `to` of a noisy series with a spike at every five hundredth. */
async function load(nomaly: TestNomaly, from: number, to: number): Promise<TestAnswer> {
  const noise = normal(7)
  const lines: string[] = []
  for (let index = 0; index < to; index++) {
    const value = 100 + 3 * noise() + (index % 500 === 499 ? 90 : 0)
    if (index >= from)
      lines.push(JSON.stringify({ time: START_MS + index * 60_000, metric: 'orders', value }))
  }
  return nomaly.request('POST', '/v1/datasets/shop/points', {
    body: lines.join('\n'),
    headers: { 'content-type': 'application/x-ndjson' },
  })
}

async function createJob(nomaly: TestNomaly, kind: 'once' | 'streaming'): Promise<string> {
  const { status, body } = await nomaly.request('POST', '/v1/jobs', {
    body: { dataset: 'shop', schedule: { kind } },
  })
  expect(status, JSON.stringify(body)).toBe(201)
  return body.id
}

async function untilScanned(nomaly: TestNomaly, id: string, points: number): Promise<void> {
  await eventually(async () => {
    const { body } = await nomaly.request('GET', `/v1/jobs/${id}`)
    if (body.status === 'failed') throw new Error(JSON.stringify(body.lastRun))
    return body.lastRun?.pointsScanned >= points
  }, 60_000)
}

/** A dataset is made, filled, watched, asked and deleted. */
async function live(databases: ApartDatabases): Promise<void> {
  const nomaly = await startApart(databases)
  await nomaly.request('POST', '/v1/datasets', { body: { name: 'shop' } })
  const stream = await createJob(nomaly, 'streaming')
  const { status, body, headers } = await load(nomaly, 0, 3_000)
  expect(status, JSON.stringify(body)).toBe(200)
  expect(body).toMatchObject({ inserted: 3_000, rejectedTotal: 0 })
  const [server] = await ask<{ id: string }>(
    databases.metrics,
    'select system_identifier::text as id from pg_control_system()',
  )
  expect(headers.get('nomaly-position')).toMatch(new RegExp(`^1:${server!.id}\\.`))
  const once = await createJob(nomaly, 'once')
  await untilScanned(nomaly, stream, 3_000)
  await untilScanned(nomaly, once, 3_000)
  const { body: found } = await nomaly.request('GET', '/v1/anomalies?limit=500')
  expect(found.items.length).toBeGreaterThan(4)
  const { body: shop } = await nomaly.request('GET', '/v1/datasets/shop')
  expect(shop).toMatchObject({ seriesCount: 1, latestAt: new Date(START_MS + 2_999 * 60_000).toISOString() })
  const { body: hours } = await nomaly.request('POST', '/v1/query', {
    body: {
      dataset: 'shop',
      from: new Date(START_MS).toISOString(),
      to: new Date(START_MS + 3_000 * 60_000).toISOString(),
      bucketSeconds: 3_600,
    },
  })
  expect(hours.series[0].count.reduce((sum: number, count: number) => sum + count, 0)).toBe(3_000)
  const { body: metrics } = await nomaly.request('GET', '/metrics')
  expect(metrics).toMatch(/nomaly_database_connections\{database="core",state="total"\} [1-9]/)
  expect(metrics).toMatch(/nomaly_database_connections\{database="metrics",state="total"\} [1-9]/)
  expect((await nomaly.request('GET', '/readyz')).body).toMatchObject({
    status: 'ready',
    checks: [
      { name: 'database', ok: true },
      { name: 'metrics', ok: true },
    ],
  })
  expect((await nomaly.request('DELETE', '/v1/datasets/shop')).status).toBe(204)
  await eventually(
    async () => (await ask(databases.metrics, 'select from metrics.latest_points')).length === 0,
  )
}

test('a dataset lives from its making to its end in two databases of one server', async () => {
  await live(await createApartDatabases())
})

test('and in databases of two servers', { timeout: 120_000 }, async () => {
  const server = await startTestServer()
  onTestFinished(() => server.stop())
  const core = await emptyDatabase('core')
  const metrics = { adminUrl: server.adminUrl }
  await migrateBoth(core.adminUrl, metrics.adminUrl)
  await live({
    core,
    metrics: { ...core, ...metrics },
    databaseUrl: asApplication(core.adminUrl),
    metricsDatabaseUrl: asApplication(metrics.adminUrl),
  })
})

test(
  'while the metrics are away, what needs only the core works, and the rest goes on when they are back',
  { timeout: 120_000 },
  async () => {
    const databases = await createApartDatabases()
    const proxy = await TcpProxy.to(databases.metricsDatabaseUrl)
    onTestFinished(() => proxy[Symbol.asyncDispose]())
    const nomaly = await startApart({
      ...databases,
      metricsDatabaseUrl: proxy.url(databases.metricsDatabaseUrl),
    })
    await nomaly.request('POST', '/v1/datasets', { body: { name: 'shop' } })
    const stream = await createJob(nomaly, 'streaming')
    expect((await load(nomaly, 0, 1_500)).body.inserted).toBe(1_500)
    await untilScanned(nomaly, stream, 1_500)
    await nomaly.request('POST', '/v1/datasets', { body: { name: 'doomed' } })
    await nomaly.request('POST', '/v1/datasets/doomed/points', {
      body: '{"time":1700000000000,"metric":"left over","value":1}',
      headers: { 'content-type': 'application/x-ndjson' },
    })

    proxy.goAway()
    const ready = await nomaly.request('GET', '/readyz')
    expect(ready.status).toBe(200)
    expect(ready.body).toMatchObject({
      status: 'degraded',
      checks: [
        { name: 'database', ok: true },
        { name: 'metrics', ok: false, detail: 'The metrics database does not answer.' },
      ],
    })
    for (const path of ['/v1/jobs', '/v1/anomalies', '/v1/detectors', `/v1/jobs/${stream}/runs`, '/v1/audit'])
      expect((await nomaly.request('GET', path)).status, path).toBe(200)
    expect((await nomaly.request('POST', '/v1/datasets', { body: { name: 'new' } })).status).toBe(201)
    const once = await createJob(nomaly, 'once')
    expect((await nomaly.request('DELETE', '/v1/datasets/doomed')).status).toBe(204)
    const { tenantId } = nomaly.tenant
    for (const [method, path, body] of [
      ['GET', '/v1/datasets', undefined],
      ['GET', '/v1/datasets/shop/series', undefined],
      ['PATCH', '/v1/datasets/shop', { description: 'changed' }],
    ] as const) {
      const { status, body: problem, headers } = await nomaly.request(method, path, { body })
      expect(status, path).toBe(503)
      expect(problem.detail).toBe('The metrics database does not answer.')
      expect(headers.get('retry-after'), path).not.toBeNull()
    }
    expect((await load(nomaly, 1_500, 1_600)).status).toBe(503)
    // What is answered with a refusal was not changed.
    const shop = await nomaly.store.read({ tenantId }, 'latest').datasets.get('shop')
    expect(shop.description).toBe('')
    // A run that waits for its points uses no attempt up, however long that takes.
    await eventually(async () => {
      const [task] = await ask<{ retries: number }>(
        databases.core,
        "select retry_count as retries from pgboss.job where name = 'run-detection' and state in ('retry', 'active')",
      )
      return (task?.retries ?? 0) >= 2
    })
    expect((await nomaly.request('GET', `/v1/jobs/${once}`)).body.lastRun).toMatchObject({
      status: 'pending',
      attempt: 0,
    })

    proxy.comeBack()
    expect((await load(nomaly, 1_500, 1_600)).body.inserted).toBe(100)
    await untilScanned(nomaly, stream, 1_600)
    await untilScanned(nomaly, once, 1_600)
    await eventually(async () => {
      const rows = await ask(databases.metrics, "select from metrics.series where metric = 'left over'")
      return rows.length === 0
    }, 60_000)
    expect((await nomaly.request('GET', '/readyz')).body.status).toBe('ready')
  },
)

test('without the core nothing is ready, whatever the metrics are', async () => {
  const databases = await createApartDatabases()
  const proxy = await TcpProxy.to(databases.databaseUrl)
  onTestFinished(() => proxy[Symbol.asyncDispose]())
  const nomaly = await startApart(
    { ...databases, databaseUrl: proxy.url(databases.databaseUrl) },
    { worker: false },
  )
  await nomaly.request('POST', '/v1/datasets', { body: { name: 'shop' } })
  const dataset = await nomaly.store.read({ tenantId: nomaly.tenant.tenantId }, 'latest').datasets.get('shop')
  proxy.goAway()
  const ready = await nomaly.request('GET', '/readyz')
  expect(ready.status).toBe(503)
  expect(ready.body).toMatchObject({
    status: 'not ready',
    checks: [{ ok: false, detail: 'The database does not answer.' }, { ok: true }],
  })
  // Nobody can say whether the dataset is still there, so that nothing is stored for it.
  const append = nomaly.store.metrics.append(
    { tenantId: nomaly.tenant.tenantId },
    {
      source: { kind: 'dataset', id: dataset.id, retention: 'forever' },
      keys: [{ metric: 'orders', tags: {} }],
      series: Uint32Array.of(0),
      timesMs: Float64Array.of(START_MS),
      values: Float64Array.of(1),
    },
  )
  await expect(append).rejects.toMatchObject({
    code: 'unavailable',
    message: 'The database does not answer.',
  })
  expect(await ask(databases.metrics, 'select from metrics.series')).toEqual([])
})

test('points are stored for a dataset of the tenant that there is, and for no other', async () => {
  const databases = await createApartDatabases()
  const nomaly = await startApart(databases, { worker: false })
  const { body: shop } = await nomaly.request('POST', '/v1/datasets', { body: { name: 'shop' } })
  const other = await nomaly.createTenant('other')
  const append = (tenantId: string, id: string): Promise<unknown> =>
    nomaly.store.metrics.append(
      { tenantId },
      {
        source: { kind: 'dataset', id, retention: 'forever' },
        keys: [{ metric: 'orders', tags: {} }],
        series: Uint32Array.of(0),
        timesMs: Float64Array.of(START_MS),
        values: Float64Array.of(1),
      },
    )
  await expect(append(other.tenantId, shop.id)).rejects.toMatchObject({ code: 'not_found' })
  await append(nomaly.tenant.tenantId, shop.id)
  await nomaly.request('DELETE', '/v1/datasets/shop')
  await expect(append(nomaly.tenant.tenantId, shop.id)).rejects.toMatchObject({ code: 'not_found' })
  expect(await ask(databases.metrics, 'select from metrics.series')).toHaveLength(1)
})

test('markers of commits are pruned in the metrics database too', async () => {
  const databases = await createApartDatabases()
  const nomaly = await startApart(databases, { worker: false })
  await nomaly.request('POST', '/v1/datasets', { body: { name: 'shop' } })
  await load(nomaly, 0, 3)
  await ask(databases.metrics, "update nomaly.commit_markers set written_at = now() - interval '2 hours'")
  const old = "select from nomaly.commit_markers where written_at < now() - interval '1 hour'"
  expect((await ask(databases.metrics, old)).length).toBeGreaterThan(0)
  await pruneMarkers(nomaly.store.metricsDatabase)
  expect(await ask(databases.metrics, old)).toEqual([])
})

test('the product watches both of its databases', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'nomaly-apart-'))
  onTestFinished(() => rm(folder, { recursive: true, force: true }))
  const databases = await createApartDatabases()
  const nomaly = await startApart(databases, { worker: false })
  const watch = await SelfWatch.start({
    store: nomaly.store,
    tenantId: nomaly.tenant.tenantId,
    dataDirectory: folder,
    intervalSeconds: 3_600,
    logger: createLogger('silent'),
  })
  onTestFinished(() => watch[Symbol.asyncDispose]())
  const tagsOf = async (metric: string): Promise<string[]> => {
    const rows = await ask<{ tags: object }>(
      databases.metrics,
      'select tags from metrics.series where metric = $1',
      [metric],
    )
    return rows.map(({ tags }) => JSON.stringify(tags)).toSorted()
  }
  await eventually(async () => (await tagsOf('database_latency_ms')).length === 2)
  expect(await tagsOf('database_latency_ms')).toEqual(['{"database":"metrics"}', '{}'])
  expect(await tagsOf('database_table_bytes')).toEqual(
    expect.arrayContaining(['{"schema":"nomaly"}', '{"schema":"metrics","database":"metrics"}']),
  )
})
