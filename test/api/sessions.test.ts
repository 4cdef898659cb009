import { afterAll, beforeAll, expect, test } from 'vitest'
import { formatPosition, parsePositions } from '../../src/database/position.ts'
import { hashSecretToken } from '../../src/access/secret-token.ts'
import { eventually, startTestNomaly, type TestAnswer, type TestNomaly } from '../support/nomaly.ts'
import { freePort } from '../support/redis.ts'
import { type RawAnswer, sendRaw } from './raw-request.ts'

const OWN = { 'sec-fetch-site': 'same-origin' }
const FIREFOX = 'Mozilla/5.0 (Macintosh; Intel Mac OS X 10.15; rv:140.0) Gecko/20100101 Firefox/140.0'

let nomaly: TestNomaly
/** A key of its own for each test: sessions are counted and listed by key. */
let key: { readonly id: string; readonly key: string }

beforeAll(async () => {
  nomaly = await startTestNomaly({ worker: false })
})

afterAll(async () => {
  await nomaly[Symbol.asyncDispose]()
})

async function newKey(role = 'editor'): Promise<typeof key> {
  return (await nomaly.request('POST', '/v1/keys', { body: { name: `${role} key`, role } })).body
}

test('one sees the browsers of the own key, and ends them', async () => {
  key = await newKey()
  const [mine, other] = [await signIn(FIREFOX), await signIn()]
  const { items } = (await browse('GET', '/v1/sessions', mine)).body
  expect(items).toHaveLength(2)
  expect(items[1]).toMatchObject({
    device: 'Firefox on macOS',
    role: 'editor',
    key: { id: key.id, name: 'editor key' },
    current: true,
  })
  expect(items[0]).toMatchObject({ device: 'A browser', current: false })
  expect(Date.parse(items[0].expiresAt) - Date.parse(items[0].createdAt)).toBe(30 * 86_400_000)
  expect((await nomaly.request('GET', '/v1/sessions', { key: key.key })).body.items).toHaveLength(2)

  // Without the rights of an administrator that is all: another key's are hidden, and the whole tenant refused.
  const foreign = await newKey('viewer')
  for (const path of ['/v1/sessions?all=true', '/v1/sign-out-everywhere?all=true'])
    expect(
      (await nomaly.request(path.includes('out') ? 'POST' : 'GET', path, { key: foreign.key })).status,
    ).toBe(403)
  const end = (id: string, byKey: string): Promise<TestAnswer> =>
    nomaly.request('DELETE', `/v1/sessions/${id}`, { key: byKey })
  expect((await end(items[0].id, foreign.key)).status).toBe(404)
  expect((await end(items[0].id, key.key)).status).toBe(204)
  expect((await end(items[0].id, key.key)).status).toBe(404)
  expect((await browse('GET', '/v1/me', other)).status).toBe(401)
  expect((await browse('GET', '/v1/me', mine)).status).toBe(200)
  const all = (await nomaly.request('GET', '/v1/sessions?all=true')).body.items
  expect(all.map(({ id }: { id: string }) => id)).toContain(items[1].id)
  expect((await end(items[1].id, nomaly.tenant.key)).status).toBe(204)
  expect((await browse('GET', '/v1/me', mine)).status).toBe(401)
  const audit = (await nomaly.request('GET', '/v1/audit?limit=20')).body.items
  expect(audit).toEqual(
    expect.arrayContaining([
      expect.objectContaining({
        actor: 'key:editor key',
        action: 'session.end',
        subjectId: items[0].id,
        detail: { reason: 'revoked' },
      }),
      expect.objectContaining({ action: 'browser.sign-in', subjectId: items[1].id }),
    ]),
  )
})

test('signing out everywhere ends all of the key, links that were not used among them, and the streams', async () => {
  await using beside = await startTestNomaly({ worker: false, beside: nomaly })
  key = await newKey()
  const browsers = [await signIn(), await signIn()]
  const unused = await makeLink()
  const admin = key
  key = await newKey('admin')
  const apart = await signIn()
  // Sooner than by looking around every 15 seconds.
  const signal = AbortSignal.timeout(12_000)
  const stream = await fetch(`${beside.url}/v1/events`, { headers: { cookie: browsers[1]! }, signal })
  expect(stream.status).toBe(200)
  const out = await browse('POST', '/v1/sign-out-everywhere', browsers[0]!, OWN)
  expect(out.status).toBe(204)
  expect(out.headers.getSetCookie()).toEqual([expect.stringMatching(/^nomaly=; Max-Age=0;/)])
  for (const cookie of browsers) expect((await browse('GET', '/v1/me', cookie)).status).toBe(401)
  expect((await nomaly.request('GET', unused, { key: '' })).status).toBe(401)
  expect((await browse('GET', '/v1/me', apart)).status).toBe(200)
  // It ends by itself: the whole of it can be read.
  expect(await stream.text()).toContain('event: hello')
  key = admin
  expect((await browse('GET', '/v1/me', await signIn())).status).toBe(200)
})

test('a key that is revoked takes its browsers along', async () => {
  key = await newKey('admin')
  const cookie = await signIn()
  expect((await browse('GET', '/v1/me', cookie)).status).toBe(200)
  await nomaly.request('DELETE', `/v1/keys/${key.id}`)
  expect((await browse('GET', '/v1/me', cookie)).status).toBe(401)
})

test('a browser that signs in again has one session, and its former cookie is over', async () => {
  key = await newKey('admin')
  const former = await signIn()
  const link = await makeLink()
  const { headers } = await nomaly.request('GET', link, { key: '', headers: { cookie: former } })
  const cookie = headers.getSetCookie()[0]!.split(';')[0]!
  expect((await browse('GET', '/v1/me', former)).status).toBe(401)
  expect((await browse('GET', '/v1/sessions', cookie)).body.items).toHaveLength(1)
})

test('an answer brings the new secret when it is time, and the former one stays good for those on their way', async () => {
  key = await newKey('admin')
  const first = await signIn()
  expect((await browse('GET', '/v1/me', first)).headers.getSetCookie()).toEqual([])
  await sql(`update nomaly.sessions set rotated_at = now() - interval '16 minutes' where token_hash = $1`, [
    hashSecretToken(first.split('=')[1]!),
  ])
  // What is known of a session is believed for a few seconds.
  const answer = await eventually(async () => {
    const got = await browse('GET', '/v1/datasets', first)
    expect(got.status).toBe(200)
    return got.headers.getSetCookie().length > 0 && got
  })
  const [header] = answer.headers.getSetCookie()
  expect(header).toMatch(/^nomaly=session_[\w-]{43}; Max-Age=25919\d\d; Path=\/; HttpOnly; SameSite=Lax$/)
  expect(answer.headers.get('cache-control')).toBe('no-store')
  const second = header!.split(';')[0]!
  expect(second).not.toBe(first)
  for (const cookie of [second, first, second]) {
    const { status, headers } = await browse('GET', '/v1/me', cookie)
    expect([status, headers.getSetCookie()]).toEqual([200, []])
  }
  await sql(`update nomaly.sessions set confirmed_at = now() - interval '61 seconds' where token_hash = $1`, [
    hashSecretToken(second.split('=')[1]!),
  ])
  await eventually(async () => (await browse('GET', '/v1/me', first)).status === 401)
  expect((await browse('GET', '/v1/me', second)).status).toBe(401)
  const audit = (await nomaly.request('GET', '/v1/audit?limit=5')).body.items
  expect(audit[0]).toMatchObject({
    actor: 'system',
    action: 'session.end',
    detail: { reason: expect.stringContaining('a former secret was used') },
  })
})

test('a session keeps where its writes stand, and nothing of what it reads', async () => {
  key = await newKey('admin')
  const cookie = await signIn()
  const kept = async (): Promise<string[]> => {
    const found = await nomaly.store.sessions.authenticate(cookie.split('=')[1]!)
    return (await nomaly.store.sessions.positions(found!.identity.session)).map(formatPosition)
  }
  const before = await kept()
  expect(before).toHaveLength(1)
  await browse('GET', '/v1/datasets', cookie)
  expect(await kept()).toEqual(before)
  const { headers, status } = await nomaly.request('POST', '/v1/datasets', {
    key: '',
    body: { name: 'kept' },
    headers: { cookie, ...OWN },
  })
  expect(status).toBe(201)
  expect(await kept()).toEqual(parsePositions(headers.get('nomaly-position')!)!.map(formatPosition))
})

test('over TLS the cookie carries the name that only this host can set', async () => {
  const port = await freePort()
  await using secure = await startTestNomaly({
    worker: false,
    beside: nomaly,
    config: { port, publicUrl: 'https://nomaly.example' },
  })
  expect(secure.url).toBe('https://nomaly.example')
  key = await newKey('admin')
  // As a proxy passes it on that ends TLS.
  const get = (path: string, cookie?: string): Promise<RawAnswer> =>
    sendRaw(`http://127.0.0.1:${port}`, {
      method: 'GET',
      path,
      headers: { host: 'nomaly.example', ...(cookie === undefined ? {} : { cookie }) },
    })
  const answer = await get(await makeLink())
  const [header] = [answer.headers['set-cookie']].flat()
  expect(header).toMatch(
    /^__Host-nomaly=session_[\w-]{43}; Max-Age=2592000; Path=\/; HttpOnly; Secure; SameSite=Lax$/,
  )
  const cookie = header!.split(';')[0]!
  expect((await get('/v1/me', cookie)).status).toBe(200)
  // Somebody else of the domain can set the plain name.
  expect((await get('/v1/me', cookie.replace('__Host-', ''))).status).toBe(401)
})

async function makeLink(): Promise<string> {
  const by = key.key
  // Only administrators make links; the test signs browsers of other roles in as well.
  const { body } = await nomaly.request('POST', '/v1/sign-in-links', { key: by })
  if (body.path !== undefined) return body.path
  const token = await nomaly.store.identities.createSignInToken(
    { tenantId: nomaly.tenant.tenantId },
    'editor',
    key.id,
  )
  return `/sign-in?token=${token}`
}

async function signIn(userAgent?: string): Promise<string> {
  const { headers } = await nomaly.request('GET', await makeLink(), {
    key: '',
    headers: { 'user-agent': userAgent ?? 'test' },
  })
  return headers.getSetCookie()[0]!.split(';')[0]!
}

function browse(
  method: string,
  path: string,
  cookie: string,
  headers: Record<string, string> = {},
): Promise<TestAnswer> {
  return nomaly.request(method, path, { key: '', headers: { cookie, ...headers } })
}

async function sql(text: string, values: unknown[]): Promise<void> {
  await nomaly.store.database.transaction({ role: 'nomaly_system' }, (connection) =>
    connection.query(text, values),
  )
}
