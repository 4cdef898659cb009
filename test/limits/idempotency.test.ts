import pg from 'pg'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { pruneIdempotencyKeys } from '../../src/limits/idempotency-keys.ts'
import { startTestNomaly, type TestAnswer, type TestNomaly } from '../support/nomaly.ts'

let nomaly: TestNomaly
let beside: TestNomaly
let admin: pg.Client
let number = 0

beforeAll(async () => {
  nomaly = await startTestNomaly({ worker: false })
  beside = await startTestNomaly({ worker: false, beside: nomaly })
  admin = new pg.Client({ connectionString: nomaly.database.adminUrl })
  await admin.connect()
})

afterAll(async () => {
  await admin.end()
  await beside[Symbol.asyncDispose]()
  await nomaly[Symbol.asyncDispose]()
})

const newKey = (): string => `key-${(number += 1)}`

function post(
  path: string,
  body: unknown,
  idempotencyKey: string,
  more: { key?: string; server?: TestNomaly; headers?: Record<string, string> } = {},
): Promise<TestAnswer> {
  const { key, server = nomaly, headers } = more
  return server.request('POST', path, {
    body,
    headers: { 'idempotency-key': idempotencyKey, ...headers },
    ...(key === undefined ? {} : { key }),
  })
}

async function count(table: string, where = 'true'): Promise<number> {
  const { rows } = await admin.query(`select count(*)::int as count from nomaly.${table} where ${where}`)
  return rows[0].count
}

test('a repeated request is answered as before, here and by another process, and done once', async () => {
  const key = newKey()
  const first = await post('/v1/detectors', { name: 'once', algorithm: 'ewma' }, key)
  expect(first).toMatchObject({ status: 201, body: { name: 'once' } })
  expect(first.headers.get('idempotency-replayed')).toBeNull()
  for (const server of [nomaly, beside]) {
    // The order of properties is no difference, nor are the quotes of a structured field.
    const again = await post('/v1/detectors', { algorithm: 'ewma', name: 'once' }, `"${key}"`, { server })
    expect(again, JSON.stringify(again.body)).toMatchObject({ status: 201, body: first.body })
    expect(again.headers.get('idempotency-replayed')).toBe('true')
    expect(again.headers.get('nomaly-position')).toMatch(/^\d/)
  }
  expect(await count('detectors', "name = 'once'")).toBe(1)
  expect(await count('audit_log', `subject_id = '${first.body.id}'`)).toBe(1)
})

test('the answer stays what it was when what it speaks of is gone, and outlives the process', async () => {
  const key = newKey()
  const body = { name: 'passing' }
  const first = await post('/v1/datasets', body, key)
  expect((await nomaly.request('DELETE', '/v1/datasets/passing')).status).toBe(204)
  await using later = await startTestNomaly({ worker: false, beside: nomaly })
  expect(await post('/v1/datasets', body, key, { server: later })).toMatchObject({
    status: 201,
    body: first.body,
  })
  expect((await nomaly.request('GET', '/v1/datasets/passing')).status).toBe(404)
})

test('a key belongs to one request: another body, path or condition under it is refused', async () => {
  const key = newKey()
  expect((await post('/v1/detectors', { name: 'mine' }, key)).status).toBe(201)
  for (const [path, body] of [
    ['/v1/detectors', { name: 'other' }],
    ['/v1/detectors?x=1', { name: 'mine' }],
    ['/v1/datasets', { name: 'mine' }],
  ] as const)
    expect(await post(path, body, key)).toMatchObject({
      status: 422,
      body: { type: 'urn:nomaly:problem:key_reused', errors: [{ field: 'idempotency-key' }] },
    })
  expect(await count('detectors', "name = 'other'")).toBe(0)
})

test('keys of others are others: of another tenant, and of another API key of the same one', async () => {
  const key = newKey()
  const other = await nomaly.createTenant('other')
  const second = await nomaly.createKey(nomaly.tenant.tenantId, 'editor')
  const bodies = [{ name: 'a' }, { name: 'b' }, { name: 'c' }]
  const answers = [
    await post('/v1/datasets', bodies[0], key),
    await post('/v1/datasets', bodies[1], key, { key: other.key }),
    await post('/v1/datasets', bodies[2], key, { key: second }),
  ]
  expect(answers.map(({ status, body }) => [status, body.name])).toEqual([
    [201, 'a'],
    [201, 'b'],
    [201, 'c'],
  ])
  // A revoked key is answered nothing, replay or not.
  const { body } = await nomaly.request('GET', '/v1/keys')
  const { id } = body.items.find((item: { role: string }) => item.role === 'editor')
  await nomaly.request('DELETE', `/v1/keys/${id}`)
  expect((await post('/v1/datasets', bodies[2], key, { key: second })).status).toBe(401)
})

test('what was refused binds no key', async () => {
  const key = newKey()
  expect((await post('/v1/jobs', { dataset: 'none', schedule: { kind: 'once' } }, key)).status).toBe(404)
  expect((await post('/v1/detectors', { name: 1 }, key)).status).toBe(400)
  expect((await post('/v1/detectors', { name: 'after all' }, key)).status).toBe(201)
})

test.each(['', ' ', 'a b', 'ä', 'x'.repeat(256), 'a\tb'])('%j is no key', async (key) => {
  const before = await count('datasets')
  const answer = await post('/v1/datasets', { name: 'wrong-key' }, Buffer.from(key).toString('latin1'))
  // An empty header is none for some programs on the way, and none of ours makes one: it is refused as well.
  expect(answer).toMatchObject({ status: 400, body: { errors: [{ field: 'idempotency-key' }] } })
  expect(await count('datasets')).toBe(before)
})

test('a hundred at once under one key have one effect; the others are answered the same, or asked to wait', async () => {
  const key = newKey()
  await post('/v1/datasets', { name: 'crowd' }, newKey())
  const body = { dataset: 'crowd', name: 'crowded', schedule: { kind: 'cron', cron: '0 0 1 1 *' } }
  const answers = await Promise.all(
    Array.from({ length: 100 }, (_, at) =>
      post('/v1/jobs', body, key, { server: at % 2 === 0 ? nomaly : beside }),
    ),
  )
  expect(await count('jobs', "name = 'crowded'")).toBe(1)
  const done = answers.filter(({ status }) => status === 201)
  expect(done.filter(({ headers }) => headers.get('idempotency-replayed') === null)).toHaveLength(1)
  expect(new Set(done.map(({ body: { id } }) => id)).size).toBe(1)
  for (const answer of answers.filter(({ status }) => status !== 201)) {
    expect(answer).toMatchObject({ status: 409, body: { type: 'urn:nomaly:problem:under_way' } })
    expect(answer.headers.get('retry-after')).toBe('1')
  }
  expect(await post('/v1/jobs', body, key)).toMatchObject({ status: 201, body: done[0]!.body })
})

test('a backfill, which may be in another database, is opened once', async () => {
  const key = newKey()
  await post('/v1/datasets', { name: 'old-points' }, newKey())
  const path = '/v1/datasets/old-points/backfills'
  const answers = await Promise.all(Array.from({ length: 10 }, () => post(path, undefined, key)))
  const first = answers.find(({ status }) => status === 201)!
  // As after a crash between the two commits: it is open, and the core knows nothing of it.
  await admin.query(`delete from nomaly.idempotency_keys where key_hash in
    (select key_hash from nomaly.idempotency_keys order by created_at desc limit 1)`)
  expect((await post(path, undefined, key)).body.id).toBe(first.body.id)
  expect((await nomaly.request('GET', path)).body.items).toHaveLength(1)
  expect((await post(path, undefined, newKey())).body.id).not.toBe(first.body.id)
})

test('a key that is shown once is shown again to who repeats the request, and stands nowhere in clear', async () => {
  const key = newKey()
  const body = { name: 'shown once', role: 'viewer' }
  const first = await post('/v1/keys', body, key)
  expect(await post('/v1/keys', body, key)).toMatchObject({ status: 201, body: first.body })
  const secret = String(first.body.key)
  const { rows } = await admin.query('select principal, body from nomaly.idempotency_keys')
  expect(rows.length).toBeGreaterThan(5)
  for (const { principal, body: sealed } of rows) {
    expect(principal).toMatch(/^key:[0-9a-f-]{36}$/)
    expect(Buffer.from(sealed).toString('latin1')).not.toContain(secret)
    expect(Buffer.from(sealed).toString('latin1')).not.toContain('shown once')
  }
  // Nor is the key of the request: what is kept is a hash.
  const { rows: dump } = await admin.query(
    'select idempotency_keys::text as row from nomaly.idempotency_keys',
  )
  expect(JSON.stringify(dump)).not.toContain(Buffer.from(key).toString('hex'))
})

test('a sign-in link is made once, and the one that is answered again works', async () => {
  const key = newKey()
  const first = await post('/v1/sign-in-links', undefined, key)
  const again = await post('/v1/sign-in-links', undefined, key)
  expect(again.body).toEqual(first.body)
  expect((await nomaly.request('GET', again.body.path, { key: '' })).status).toBe(302)
})

test('in a browser an answer with a secret wants a key that nobody can guess', async () => {
  const { body: link } = await nomaly.request('POST', '/v1/sign-in-links')
  const signedIn = await nomaly.request('GET', link.path, { key: '' })
  const cookie = signedIn.headers.get('set-cookie')!.split(';')[0]!
  const headers = { cookie, 'sec-fetch-site': 'same-origin' }
  const body = { name: 'by browser', role: 'viewer' }
  expect(await post('/v1/keys', body, 'short', { key: '', headers })).toMatchObject({
    status: 400,
    body: { errors: [{ field: 'idempotency-key' }] },
  })
  const long = 'f3b1c0de'.repeat(4)
  const first = await post('/v1/keys', body, long, { key: '', headers })
  expect(first.status).toBe(201)
  expect((await post('/v1/keys', body, long, { key: '', headers })).body).toEqual(first.body)
})

test('what has expired is a new request, and is removed', async () => {
  const key = newKey()
  expect((await post('/v1/detectors', { name: 'expires' }, key)).status).toBe(201)
  await admin.query("update nomaly.idempotency_keys set expires_at = now() - interval '1 second'")
  // Done again, and refused for what it is, not for its key.
  expect(await post('/v1/detectors', { name: 'expires' }, key)).toMatchObject({
    status: 409,
    body: { type: 'urn:nomaly:problem:conflict' },
  })
  expect((await post('/v1/detectors', { name: 'expires too' }, key)).status).toBe(201)
  expect(await count('idempotency_keys')).toBeGreaterThan(1)
  await pruneIdempotencyKeys(nomaly.store.database)
  expect(await count('idempotency_keys')).toBe(1)
})
