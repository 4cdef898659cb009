import { randomUUID } from 'node:crypto'
import pg from 'pg'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import {
  eventually,
  startTestNomaly,
  type TestAnswer,
  type TestNomaly,
  type TestTenant,
} from '../support/nomaly.ts'
import { listAppRoutes } from './app-routes.ts'
import { EventListener } from './event-listener.ts'
import { type RawAnswer, sendRaw } from './raw-request.ts'
import { ROUTE_COVERAGE, type RouteCall, type TenantThings } from './route-coverage.ts'
import { dumpTenant, listTenantTables, type TenantTable } from './tenant-rows.ts'

/** Names that nobody but the first tenant may ever read. */
const SECRET = 'nightingale'
const LISTS = ['/v1/datasets', '/v1/detectors', '/v1/jobs', '/v1/anomalies', '/v1/audit']

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
  things = await fill(alpha)
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

describe('in the database itself', () => {
  let tables: TenantTable[]
  let client: pg.Client

  beforeAll(async () => {
    tables = await listTenantTables(admin)
    client = new pg.Client({ connectionString: nomaly.databaseUrl })
    await client.connect()
    // What no route makes of its own accord.
    await admin.query(`insert into nomaly.outbox (tenant_id, topic, payload) values ($1, 'test', '{}')`, [
      alpha.tenantId,
    ])
    const { body } = await nomaly.request('POST', '/v1/sign-in-links', { key: alpha.key })
    await nomaly.request('GET', body.path, { key: '' })
    await nomaly.request('PUT', '/v1/webhook', {
      key: alpha.key,
      body: { url: 'http://127.0.0.1:1/own-hook' },
    })
  })

  afterAll(async () => {
    await client.end()
  })

  test('every table with a tenant has row-level security, and forces it on its owner too', () => {
    const core = tables.filter(({ schema }) => schema === 'nomaly')
    expect(core.length).toBeGreaterThanOrEqual(13)
    expect(
      tables.filter(({ isSecured, isForced }) => !isSecured || !isForced).map(({ name }) => name),
    ).toEqual([])
  })

  test.each(['no tenant', 'another tenant'])(
    'with %s set, rows cannot be read, added, changed or removed',
    async (who) => {
      const tenantId = who === 'no tenant' ? '' : beta.tenantId
      for (const { name, columns } of tables) {
        const { rows } = await admin.query<{ row: Record<string, unknown> }>(
          `select to_jsonb(t) as row from ${name} t where tenant_id = $1 limit 1`,
          [alpha.tenantId],
        )
        const row = rows[0]?.row
        // The relay may have moved the outbox on: then it is empty, and only adding can be tried.
        if (name !== 'nomaly.outbox')
          expect(row, `the first tenant has nothing in ${name}: give it something above`).toBeDefined()
        const list = columns.join(', ')
        const copy = row ?? {
          tenant_id: alpha.tenantId,
          topic: 'test',
          payload: {},
          id: 1,
          created_at: '2026-01-01',
        }

        const seen = await attempt(
          tenantId,
          `select count(*)::int as count from ${name} where tenant_id = '${alpha.tenantId}'`,
        )
        expect(seen, `read ${name}`).toBeOneOf(['refused', 0])
        const added = await attempt(
          tenantId,
          `insert into ${name} (${list}) overriding system value select ${list} from jsonb_populate_record(null::${name}, $1)`,
          [JSON.stringify(copy)],
        )
        expect(added, `add to ${name}`).toBe('refused')
        const changed = await attempt(
          tenantId,
          `update ${name} set tenant_id = tenant_id where tenant_id = '${alpha.tenantId}'`,
        )
        expect(changed, `change ${name}`).toBeOneOf(['refused', 0])
        const taken = await attempt(tenantId, `update ${name} set tenant_id = '${beta.tenantId}'`)
        expect(taken, `take over ${name}`).toSatisfy(
          (result) => result === 'refused' || result === 0 || tenantId !== '',
        )
        const removed = await attempt(tenantId, `delete from ${name} where tenant_id = '${alpha.tenantId}'`)
        expect(removed, `remove from ${name}`).toBeOneOf(['refused', 0])
      }
      const tenants = await attempt(
        tenantId,
        `select count(*)::int as count from nomaly.tenants where id = '${alpha.tenantId}'`,
      )
      expect(tenants).toBe(0)
    },
  )

  test('the same statements work for the tenant itself, so that it is the tenant who makes the difference', async () => {
    for (const name of ['nomaly.datasets', 'nomaly.jobs', 'nomaly.anomalies', 'metrics.series'])
      expect(
        await attempt(alpha.tenantId, `select count(*)::int as count from ${name}`),
        name,
      ).toBeGreaterThan(0)
    expect(await attempt(alpha.tenantId, `update nomaly.datasets set description = 'y'`)).toBeGreaterThan(0)
  })

  test('the application has no right at all on points', async () => {
    const { rows } = await admin.query<{ name: string; right: string }>(`
      select c.relname as name, r.name as "right"
      from pg_class c join pg_namespace n on n.oid = c.relnamespace,
           unnest(array['select', 'insert', 'update', 'delete', 'truncate', 'references', 'trigger']) r (name)
      where n.nspname = 'metrics' and (c.relname like 'points\\_%' or c.relname = 'latest_points') and c.relkind in ('r', 'p')
        and has_table_privilege('nomaly_app', c.oid, r.name)`)
    expect(rows).toEqual([])
    const { rows: counted } = await admin.query<{ count: number }>(
      `select count(*)::int as count from pg_class where relnamespace = 'metrics'::regnamespace and relname like 'points\\_%'`,
    )
    expect(counted[0]!.count).toBeGreaterThan(4)
    expect(await attempt(alpha.tenantId, 'select count(*)::int as count from metrics.points_forever')).toBe(
      'refused',
    )
    expect(await attempt(alpha.tenantId, 'select count(*)::int as count from metrics.latest_points')).toBe(
      'refused',
    )
  })

  /** The count a statement gives or the rows it touches, or that it is refused; always undone. */
  async function attempt(
    tenantId: string,
    text: string,
    values: unknown[] = [],
  ): Promise<number | 'refused'> {
    await client.query(`begin; set local role nomaly_app; set local nomaly.tenant_id = '${tenantId}'`)
    try {
      const { rows, rowCount }: pg.QueryResult<{ count?: number }> = await client.query(text, values)
      return rows[0]?.count ?? rowCount ?? 0
    } catch (error) {
      if ((error as { code?: string }).code === '42501') return 'refused'
      throw error
    } finally {
      await client.query('rollback')
    }
  }
})

/** Gives a tenant one of everything, through the API, and waits until nothing moves any more. */
async function fill(tenant: TestTenant): Promise<TenantThings> {
  const { key } = tenant
  const post = async (path: string, body: unknown): Promise<TestAnswer['body']> => {
    const answer = await nomaly.request('POST', path, { key, body })
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
  // A second of each, so that lists have a second page and give a cursor out.
  await post('/v1/datasets', { name: `${SECRET}-more` })
  await post('/v1/jobs', {
    dataset: dataset.id,
    name: `${SECRET} paused`,
    schedule: { kind: 'cron', cron: '0 0 1 1 *' },
  })
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
    const isStill = now === dump && (await count('select count(*)::int as count from nomaly.outbox')) === 0
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
    cursor: (path) => cursors.get(path) ?? '',
  }
}

async function count(query: string): Promise<number> {
  const { rows } = await admin.query<{ count: number }>(query)
  return rows[0]!.count
}

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
