import { request as httpRequest } from 'node:http'
import pg from 'pg'
import { expect, test, vi } from 'vitest'
import { LIMIT_CLASSES } from '../../src/api/plugins/rate-limits.ts'
import { listAppRoutes } from '../api/app-routes.ts'
import { eventually, startTestNomaly, type TestNomaly } from '../support/nomaly.ts'
import { startTestRedis } from '../support/redis.ts'

const NO_TENANT_LIMIT = { rateTenantKeys: 0 }

async function statuses(times: number, work: (at: number) => Promise<{ status: number }>): Promise<number[]> {
  const answers = await Promise.all(Array.from({ length: times }, (_, at) => work(at)))
  return answers.map(({ status }) => status).toSorted((a, b) => a - b)
}

const me = (nomaly: TestNomaly) => () => nomaly.request('GET', '/v1/me')

test('what is too much is answered with 429, Retry-After and the headers of the draft', async () => {
  await using nomaly = await startTestNomaly({
    worker: false,
    config: { rateReadsPerMinute: 3, rateWritesPerMinute: 1, rateTenantKeys: 2 },
  })
  const first = await nomaly.request('GET', '/v1/me')
  expect(first.headers.get('ratelimit-policy')).toBe('"reads";q=3;w=60, "tenant-reads";q=6;w=60')
  expect(first.headers.get('ratelimit')).toMatch(/^"reads";r=2;t=\d+, "tenant-reads";r=5;t=\d+$/)
  await nomaly.request('GET', '/v1/datasets')
  await nomaly.request('GET', '/v1/jobs')
  const over = await nomaly.request('GET', '/v1/me')
  expect(over).toMatchObject({ status: 429, body: { type: 'urn:nomaly:problem:rate_limited' } })
  expect(Number(over.headers.get('retry-after'))).toBeGreaterThan(50)
  expect(over.headers.get('ratelimit')).toContain('"reads";r=0')
  // Another class, another key, and what everybody may see are none of it.
  expect((await nomaly.request('POST', '/v1/detectors', { body: { name: 'a' } })).status).toBe(201)
  expect((await nomaly.request('POST', '/v1/detectors', { body: { name: 'b' } })).status).toBe(429)
  const second = await nomaly.createKey(nomaly.tenant.tenantId, 'viewer')
  expect((await nomaly.request('GET', '/v1/me', { key: second })).status).toBe(200)
  expect((await nomaly.request('GET', '/healthz')).status).toBe(200)
  expect((await nomaly.request('GET', '/healthz')).headers.get('ratelimit')).toBeNull()
  const other = await nomaly.createTenant('other')
  expect((await nomaly.request('GET', '/v1/me', { key: other.key })).status).toBe(200)
})

test('a limit is checked before the body is read, and nothing of it is stored', async () => {
  await using nomaly = await startTestNomaly({
    worker: false,
    config: { ratePointsPerMinute: 1, ...NO_TENANT_LIMIT },
  })
  await nomaly.request('POST', '/v1/datasets', { body: { name: 'shop' } })
  const line = (time: number): string => `{"time":${time},"metric":"m","value":1}\n`
  const headers = { 'content-type': 'application/x-ndjson' }
  const path = '/v1/datasets/shop/points'
  expect((await nomaly.request('POST', path, { body: line(1_767_225_600_000), headers })).status).toBe(200)
  // The answer is there while the body has hardly begun.
  const status = await new Promise<number>((resolve, reject) => {
    const sent = httpRequest(`${nomaly.url}${path}`, {
      method: 'POST',
      headers: { ...headers, authorization: `Bearer ${nomaly.tenant.key}` },
    })
    sent.on('error', reject)
    sent.on('response', (answer) => {
      resolve(answer.statusCode!)
      sent.destroy()
    })
    sent.write(line(1_767_229_200_000))
  })
  expect(status).toBe(429)
  expect((await nomaly.request('GET', '/v1/datasets/shop')).body.latestAt).toBe('2026-01-01T00:00:00.000Z')
})

test('limits are live settings', async () => {
  await using nomaly = await startTestNomaly({ worker: false, config: NO_TENANT_LIMIT })
  expect(await statuses(5, me(nomaly))).toEqual([200, 200, 200, 200, 200])
  const set = (value: number): Promise<unknown> =>
    nomaly.store.liveSettings.operate((desk) =>
      desk.set('rate-reads-per-minute', value, { actor: 'operator', note: '' }),
    )
  await set(5)
  expect((await nomaly.request('GET', '/v1/me')).status).toBe(429)
  await set(100)
  expect((await nomaly.request('GET', '/v1/me')).status).toBe(200)
})

test('every class is that of a route that there is', async () => {
  await using nomaly = await startTestNomaly({ worker: false })
  const routes = (await listAppRoutes(nomaly)).map(({ method, path }) => `${method} ${path}`)
  expect(Object.keys(LIMIT_CLASSES).filter((route) => !routes.includes(route))).toEqual([])
})

test('wrong keys and links are slowed down by address and audited once; good keys go on', async () => {
  await using nomaly = await startTestNomaly({ worker: false, config: { rateFailuresPerMinute: 5 } })
  const admin = new pg.Client({ connectionString: nomaly.database.adminUrl })
  await admin.connect()
  const unused = await nomaly.createKey(nomaly.tenant.tenantId, 'viewer')
  expect((await nomaly.request('GET', '/v1/me')).status).toBe(200)
  const { body: link } = await nomaly.request('POST', '/v1/sign-in-links')
  const cookie = (await nomaly.request('GET', link.path, { key: '' })).headers
    .get('set-cookie')!
    .split(';')[0]!
  // A program that goes on with a key that was revoked does not guess.
  const stale = `nomaly_${'z'.repeat(43)}`
  expect(await statuses(20, () => nomaly.request('GET', '/v1/me', { key: stale }))).not.toContain(429)
  const guess = (at: number): string => `nomaly_${String(at).padStart(43, 'a')}`
  for (let at = 0; at < 2; at += 1)
    expect((await nomaly.request('GET', '/v1/me', { key: guess(at) })).status).toBe(401)
  for (let at = 0; at < 3; at += 1)
    expect((await nomaly.request('GET', `/sign-in?token=guess-${at}`, { key: '' })).status).toBe(401)
  expect(await statuses(20, (at) => nomaly.request('GET', '/v1/me', { key: guess(at) }))).toEqual(
    Array.from({ length: 20 }, () => 429),
  )
  const slowed = await nomaly.request('GET', '/sign-in?token=guess', { key: '' })
  expect(slowed.status).toBe(429)
  expect(Number(slowed.headers.get('retry-after'))).toBeGreaterThan(50)
  // Not even a good one, so that a guess that hits is not told from one that misses, unless it was good here before.
  expect((await nomaly.request('GET', '/v1/me', { key: unused })).status).toBe(429)
  expect((await nomaly.request('GET', '/v1/me')).status).toBe(200)
  expect((await nomaly.request('GET', '/v1/me', { key: '', headers: { cookie } })).status).toBe(200)
  expect((await nomaly.request('GET', '/v1/me', { key: '' })).status).toBe(401)
  const entries = await eventually(async () => {
    const { rows } = await admin.query(
      "select tenant_id, subject_id, detail from nomaly.audit_log where action = 'access.slow'",
    )
    return rows.length > 0 && rows
  })
  expect(entries).toEqual([
    {
      tenant_id: null,
      subject_id: expect.stringMatching(/127\.0\.0\.1|::/),
      detail: { failuresPerMinute: 5 },
    },
  ])
  await admin.end()
})

test('two processes share a limit in Redis; killed in the middle, each goes on by itself and nothing fails', async () => {
  await using redis = await startTestRedis()
  const config = {
    redisUrl: redis.url,
    redisTimeoutMs: 100,
    rateReadsPerMinute: 40,
    ...NO_TENANT_LIMIT,
  }
  await using nomaly = await startTestNomaly({ worker: false, config })
  await using beside = await startTestNomaly({ worker: false, beside: nomaly, config })
  const both = (at: number): Promise<{ status: number }> => me(at % 2 === 0 ? nomaly : beside)()
  const together = await statuses(60, both)
  expect(together.filter((status) => status === 200)).toHaveLength(40)
  expect(together.filter((status) => status === 429)).toHaveLength(20)
  // A new window, in which the server goes.
  await redis.flush()
  const second = await nomaly.createKey(nomaly.tenant.tenantId, 'viewer')
  const bySecond = (at: number): Promise<{ status: number }> =>
    (at % 2 === 0 ? nomaly : beside).request('GET', '/v1/me', { key: second })
  expect(await statuses(10, bySecond)).toEqual(Array.from({ length: 10 }, () => 200))
  const killed = statuses(30, bySecond)
  await redis.kill()
  expect((await killed).filter((status) => status !== 200 && status !== 429)).toEqual([])
  // By themselves: forty each, less what they counted while it went.
  const apart = await statuses(200, bySecond)
  expect(new Set(apart)).toEqual(new Set([200, 429]))
  expect(apart.filter((status) => status === 200).length).toBeLessThanOrEqual(80)
  await redis.restart()
  await vi.waitFor(() => expect(nomaly.store.isRedisUp && beside.store.isRedisUp).toBe(true), {
    timeout: 15_000,
    interval: 50,
  })
  const third = await nomaly.createKey(nomaly.tenant.tenantId, 'viewer')
  const byThird = await statuses(60, (at) =>
    (at % 2 === 0 ? nomaly : beside).request('GET', '/v1/me', { key: third }),
  )
  expect(byThird.filter((status) => status === 200)).toHaveLength(40)
})

test('a Redis that hangs costs a few requests their time, and no request an error', async () => {
  await using redis = await startTestRedis()
  await using nomaly = await startTestNomaly({
    worker: false,
    config: { redisUrl: redis.url, redisTimeoutMs: 200 },
  })
  expect((await nomaly.request('GET', '/v1/me')).status).toBe(200)
  redis.freeze()
  for (let at = 0; at < 20; at += 1) expect((await nomaly.request('GET', '/v1/me')).status).toBe(200)
  expect(nomaly.store.isRedisUp).toBe(false)
  redis.thaw()
})

test('behind a trusted proxy guesses are counted by who asks, and whoever is no proxy cannot say who that is', async () => {
  let guesses = 0
  const guess = async (nomaly: TestNomaly, address: string): Promise<number> => {
    const key = `nomaly_${String(guesses++).padStart(43, 'b')}`
    return (await nomaly.request('GET', '/v1/me', { key, headers: { 'x-forwarded-for': address } })).status
  }
  const many = async (nomaly: TestNomaly, address: string): Promise<number[]> => {
    const answers = []
    for (let i = 0; i < 7; i++) answers.push(await guess(nomaly, address))
    return answers
  }
  const config = { rateFailuresPerMinute: 5 }
  const trustedProxies = '127.0.0.0/8, ::1'
  await using behind = await startTestNomaly({ worker: false, config: { ...config, trustedProxies } })
  expect(await many(behind, '203.0.113.7')).toEqual([401, 401, 401, 401, 401, 401, 429])
  expect(await guess(behind, '203.0.113.8')).toBe(401)
  await using direct = await startTestNomaly({ worker: false, config })
  await many(direct, '203.0.113.7')
  expect(await guess(direct, '203.0.113.8')).toBe(429)
})
