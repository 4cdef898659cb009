import { randomUUID } from 'node:crypto'
import pg from 'pg'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { startTestNomaly, type TestNomaly, type TestTenant } from '../support/nomaly.ts'
import { listAppRoutes } from './app-routes.ts'
import { EventListener } from './event-listener.ts'
import { type RawAnswer, sendRaw } from './raw-request.ts'
import { ROUTE_COVERAGE, type RouteCall } from './route-coverage.ts'
import type { TenantThings } from './tenant-things.ts'
import { fillTenant, SECRET } from './tenant-fixture.ts'
import { dumpTenant } from './tenant-rows.ts'

let nomaly: TestNomaly
let admin: pg.Client
let alpha: TestTenant
let beta: TestTenant
let things: TenantThings
let unknown: TenantThings

beforeAll(async () => {
  nomaly = await startTestNomaly()
  admin = new pg.Client({ connectionString: nomaly.database.adminUrl })
  await admin.connect()
  alpha = await nomaly.createTenant(SECRET)
  beta = await nomaly.createTenant('beta')
  things = await fillTenant(nomaly, admin, alpha)
  unknown = {
    ...Object.fromEntries(Object.keys(things).map((key) => [key, randomUUID()])),
    datasetName: 'does-not-exist',
    seriesId: 2_000_000_000,
    cursor: things.cursor,
  } as unknown as TenantThings
})

afterAll(async () => {
  await admin.end()
  await nomaly[Symbol.asyncDispose]()
})

test('every route of the application is covered here', async () => {
  const routes = await listAppRoutes(nomaly)
  expect(Object.keys(ROUTE_COVERAGE).toSorted()).toEqual(
    routes.map(({ method, path }) => `${method} ${path}`).toSorted(),
  )
})

test('another tenant sees and changes nothing, on any route', { timeout: 60_000 }, async () => {
  await nomaly.request('POST', '/v1/datasets', { key: beta.key, body: { name: 'beta-data' } })
  const before = await dumpTenant(admin, alpha.tenantId)
  for (const [route, { calls, foreign }] of Object.entries(ROUTE_COVERAGE)) {
    const absent = calls(unknown)
    for (const [index, call] of calls(things).entries()) {
      const answer = await send(route, call, beta.key)
      const said = `${route} ${call.path} → ${answer.status} ${answer.text.slice(0, 400)}`
      if (typeof foreign === 'object') {
        expect(answer.status, said).toBe(foreign.hidden)
        // Not even that it exists may be told from the answer.
        const other = await send(route, absent[index]!, beta.key)
        expect(veil(answer.text, things), said).toBe(veil(other.text, unknown))
      } else if (foreign === 'own')
        expect(answer.status, said).toSatisfy((status: number) => status >= 200 && status < 300)
      else expect(answer.status, said).toBe((await send(route, call, '')).status)
      expectNothingOf(answer.text, call, said)
    }
    expect(await dumpTenant(admin, alpha.tenantId), `after ${route}`).toBe(before)
  }
  // It was a tenant with rights of its own that was kept out.
  const own = await nomaly.request('GET', '/v1/datasets', { key: beta.key })
  expect(own.body.items.map(({ name }: { name: string }) => name)).toContain('beta-data')
})

test('a name that another tenant has is free, and a detector of another tenant is of no use', async () => {
  const created = await nomaly.request('POST', '/v1/datasets', {
    key: beta.key,
    body: { name: things.datasetName },
  })
  expect(created.status).toBe(201)
  expect(created.body.seriesCount).toBe(0)
  const job = await nomaly.request('POST', '/v1/jobs', {
    key: beta.key,
    body: { dataset: things.datasetName, detectorId: things.detectorId, schedule: { kind: 'once' } },
  })
  expect(job.status).toBe(404)
  const band = await nomaly.request('GET', `/v1/series/${things.seriesId}/band?jobId=${randomUUID()}`, {
    key: beta.key,
  })
  expect(band.status).toBe(404)
  expect((await nomaly.request('DELETE', `/v1/datasets/${created.body.id}`, { key: beta.key })).status).toBe(
    204,
  )
  const mine = await nomaly.request('GET', `/v1/datasets/${things.datasetName}`, { key: alpha.key })
  expect(mine.body).toMatchObject({ id: things.datasetId, seriesCount: 1 })
})

test(
  'without a key nothing is answered, and a role is refused what it lacks',
  { timeout: 60_000 },
  async () => {
    const keys = {
      viewer: await nomaly.createKey(alpha.tenantId, 'viewer'),
      editor: await nomaly.createKey(alpha.tenantId, 'editor'),
      admin: alpha.key,
    }
    const allowed = { viewer: ['read'], editor: ['read', 'write'], admin: ['read', 'write', 'administer'] }
    const before = await dumpTenant(admin, alpha.tenantId)
    for (const [route, { needs, calls }] of Object.entries(ROUTE_COVERAGE)) {
      if (needs === 'public') continue
      for (const call of calls(things)) {
        expect((await send(route, call, '')).status, `${route} without a key`).toBe(401)
        expect(
          (await send(route, call, `nomaly_${'x'.repeat(43)}`)).status,
          `${route} with a made-up key`,
        ).toBe(401)
        for (const role of ['viewer', 'editor'] as const)
          if (!allowed[role].includes(needs))
            expect((await send(route, call, keys[role])).status, `${route} as ${role}`).toBe(403)
      }
    }
    expect(await dumpTenant(admin, alpha.tenantId)).toBe(before)
    // Who may, may: asked about things that do not exist, so that the next test finds what it expects.
    for (const [route, { needs, calls }] of Object.entries(ROUTE_COVERAGE))
      for (const role of ['viewer', 'editor', 'admin'] as const) {
        if (needs === 'public' || !allowed[role].includes(needs) || route === 'DELETE /v1/webhook') continue
        const { status } = await send(route, calls(unknown)[0]!, keys[role])
        expect([401, 403], `${route} as ${role}`).not.toContain(status)
      }
  },
)

test('events of one tenant are not heard by another', async () => {
  await using ours = await EventListener.connect(nomaly.url, alpha.key)
  await using theirs = await EventListener.connect(nomaly.url, beta.key)
  await nomaly.request('POST', `/v1/datasets/${things.datasetName}/points`, {
    key: alpha.key,
    body: [{ time: 1_767_225_600_000, metric: 'more', value: 1 }],
  })
  await nomaly.request('POST', `/v1/anomalies/${things.anomalyId}/acknowledge`, { key: alpha.key })
  await ours.first(({ event }) => event === 'points')
  await ours.first(({ event, data }) => event === 'anomaly' && data.id === things.anomalyId)
  const { body } = await nomaly.request('POST', '/v1/datasets', {
    key: beta.key,
    body: { name: 'beta-last' },
  })
  await theirs.first(({ data }) => data.id === body.id)
  expect(theirs.heard.map(({ event, data }) => [event, data.id])).toEqual([
    ['hello', undefined],
    ['dataset', body.id],
  ])
  expect(JSON.stringify(ours.heard)).not.toContain(body.id)
})

async function send(route: string, { path, body, headers = {} }: RouteCall, key: string): Promise<RawAnswer> {
  const isText = typeof body === 'string'
  return sendRaw(nomaly.url, {
    method: route.split(' ')[0]!,
    path,
    headers: {
      ...(key === '' ? {} : { authorization: `Bearer ${key}` }),
      ...(body === undefined || isText ? {} : { 'content-type': 'application/json' }),
      ...headers,
    },
    body: body === undefined ? undefined : Buffer.from(isText ? body : JSON.stringify(body)),
  })
}

/** All ids and names of what a tenant has. */
function namesOf(all: TenantThings): string[] {
  return Object.values(all).flatMap((name: unknown) => (typeof name === 'function' ? [] : [String(name)]))
}

/** An answer without the ids and names that the question named. */
function veil(text: string, asked: TenantThings): string {
  return namesOf(asked)
    .toSorted((a, b) => b.length - a.length)
    .reduce((veiled, id) => veiled.replaceAll(new RegExp(`(?<![\\w-])${id}(?![\\w-])`, 'g'), '…'), text)
}

/** Nothing of the first tenant stands in an answer, except what the question brought along. */
function expectNothingOf(text: string, call: RouteCall, said: string): void {
  const asked = `${call.path} ${JSON.stringify(call.body)}`
  // The number of a series is too short to be told from any other.
  const secrets = namesOf(things).filter((name) => name !== String(things.seriesId))
  for (const secret of [...secrets, SECRET, alpha.tenantId])
    if (!asked.includes(secret)) expect(text, said).not.toContain(secret)
}
