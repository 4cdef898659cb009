import type pg from 'pg'
import { expect } from 'vitest'
import { eventually, type TestAnswer, type TestNomaly, type TestTenant } from '../support/nomaly.ts'
import type { TenantThings } from './tenant-things.ts'
import { dumpTenant } from './tenant-rows.ts'

/** Part of every name that {@link fillTenant} gives: nobody but that tenant may ever read it. */
export const SECRET = 'nightingale'
const LISTS = [
  '/v1/datasets',
  '/v1/detectors',
  '/v1/jobs',
  '/v1/anomalies',
  '/v1/audit',
  '/v1/flags',
  '/v1/sessions',
]

/** Gives a tenant one of everything, through the API, and waits until nothing moves any more. */
export async function fillTenant(
  nomaly: TestNomaly,
  admin: pg.Client,
  tenant: TestTenant,
): Promise<TenantThings> {
  const { key } = tenant
  const post = async (
    path: string,
    body: unknown,
    headers: Readonly<Record<string, string>> = {},
  ): Promise<TestAnswer['body']> => {
    const answer = await nomaly.request('POST', path, { key, body, headers })
    expect(answer.status, JSON.stringify(answer.body)).toBeLessThan(300)
    return answer.body
  }
  const get = async (path: string): Promise<TestAnswer['body']> =>
    (await nomaly.request('GET', path, { key })).body
  const dataset = await post('/v1/datasets', { name: `${SECRET}-data` })
  const points = Array.from({ length: 1_000 }, (_, i) => ({
    time: 1_767_225_600_000 + i * 60_000,
    metric: `${SECRET}-metric`,
    tags: { host: `${SECRET}-host` },
    value: i === 900 ? 1_000 : 100 + ((i * 7919) % 13),
  }))
  await post(`/v1/datasets/${dataset.name}/points`, points)
  const backfillId = await makeBackfills(nomaly, key, dataset.name)
  const detector = await post('/v1/detectors', { name: `${SECRET} detector`, algorithm: 'robust-z' })
  const job = await post('/v1/jobs', {
    name: `${SECRET} job`,
    dataset: dataset.id,
    detectorId: detector.id,
    schedule: { kind: 'streaming' },
  })
  const anomaly = await eventually(async () => (await get('/v1/anomalies')).items[0])
  const apiKey = await post('/v1/keys', { name: `${SECRET} key`, role: 'viewer' })
  await nomaly.request('PUT', '/v1/webhook', { key, body: { url: `http://127.0.0.1:1/${SECRET}-hook` } })
  const flagKey = `${SECRET}-flag`
  await post('/v1/flags', {
    key: flagKey,
    enabled: true,
    rules: [{ targetingKeys: [`${SECRET}-user`], variant: 'on' }],
  })
  // A second of each, so that lists have a second page and give a cursor out.
  await post('/v1/datasets', { name: `${SECRET}-more` }, { 'idempotency-key': `${SECRET}-key` })
  await post('/v1/flags', { key: `${SECRET}-other` })
  await post('/v1/jobs', {
    dataset: dataset.id,
    name: `${SECRET} paused`,
    schedule: { kind: 'cron', cron: '0 0 1 1 *' },
  })
  const sessionId = await signInBrowsers(nomaly, key)
  const cursors = new Map<string, string>()
  for (const path of LISTS) cursors.set(path, (await get(`${path}?limit=1`)).nextCursor ?? '')
  // Only one anomaly may have been found: its own place is a cursor too.
  if (cursors.get('/v1/anomalies') === '')
    cursors.set(
      '/v1/anomalies',
      Buffer.from(JSON.stringify(['2099-01-01 00:00:00+00', anomaly.id])).toString('base64url'),
    )
  const [series] = (await get(`/v1/datasets/${dataset.id}/series`)).items
  let dump = ''
  await eventually(async () => {
    const now = await dumpTenant(admin, tenant.tenantId)
    const isStill = now === dump && (await isOutboxEmpty(admin))
    dump = now
    return isStill
  })
  return {
    datasetId: dataset.id,
    datasetName: dataset.name,
    seriesId: series.id,
    detectorId: detector.id,
    jobId: job.id,
    runId: anomaly.runId,
    anomalyId: anomaly.id,
    keyId: apiKey.id,
    sessionId,
    flagKey,
    backfillId,
    cursor: (path) => cursors.get(path) ?? '',
  }
}

/** One that is completed, and one that takes parts, whose id is answered. */
async function makeBackfills(nomaly: TestNomaly, key: string, dataset: string): Promise<string> {
  const path = `/v1/datasets/${dataset}/backfills`
  const begin = async (): Promise<string> => {
    const { id } = (await nomaly.request('POST', path, { key })).body
    await nomaly.request('PUT', `${path}/${id}/parts/1`, {
      key,
      body: `{"time":1735689600000,"metric":"${SECRET}-metric","tags":{"host":"${SECRET}-host"},"value":1}\n{"time":"${SECRET}"}`,
      headers: { 'content-type': 'application/x-ndjson' },
    })
    return id
  }
  const completed = await begin()
  await nomaly.request('POST', `${path}/${completed}/finish`, { key, body: { parts: 1 } })
  await eventually(async () => {
    const { body } = await nomaly.request('GET', `${path}/${completed}`, { key })
    expect(body.status, JSON.stringify(body)).toBeOneOf(['merging', 'completed'])
    return body.status === 'completed'
  })
  return begin()
}

/** Two that stay signed in, of which one is answered, and one that is signed out again. */
async function signInBrowsers(nomaly: TestNomaly, key: string): Promise<string> {
  for (let count = 0; count < 3; count++) {
    const { body } = await nomaly.request('POST', '/v1/sign-in-links', { key })
    await nomaly.request('GET', body.path, { key: '' })
  }
  const [newest, next] = (await nomaly.request('GET', '/v1/sessions', { key })).body.items
  await nomaly.request('DELETE', `/v1/sessions/${newest.id}`, { key })
  return next.id
}

async function isOutboxEmpty(admin: pg.Client): Promise<boolean> {
  const { rowCount } = await admin.query('select from nomaly.outbox limit 1')
  return rowCount === 0
}
