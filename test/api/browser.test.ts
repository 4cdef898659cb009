import { afterAll, beforeAll, expect, test } from 'vitest'
import { startTestNomaly, type TestAnswer, type TestNomaly } from '../support/nomaly.ts'
import { listAppRoutes } from './app-routes.ts'
import { sendRaw } from './raw-request.ts'

let nomaly: TestNomaly

beforeAll(async () => {
  nomaly = await startTestNomaly({ worker: false })
})

afterAll(async () => {
  await nomaly[Symbol.asyncDispose]()
})

test('a sign-in link works once, and leaves a cookie that scripts cannot read', async () => {
  const path = await makeLink()
  const first = await browse('GET', path)
  expect(first.status).toBe(302)
  expect(first.headers.get('location')).toBe('/')
  const cookie = first.headers.getSetCookie()[0]!
  expect(cookie).toMatch(/^nomaly=session_[\w-]{43}; Max-Age=2592000; Path=\/; HttpOnly; SameSite=Lax$/)

  const again = await browse('GET', path)
  expect(again.status).toBe(401)
  expect(again.body).toMatchObject({
    type: 'urn:nomaly:problem:unauthenticated',
    detail: expect.stringContaining('used already'),
  })
  expect(again.headers.getSetCookie()).toEqual([])
  expect((await browse('GET', '/v1/me', { cookie })).body).toMatchObject({
    tenant: { id: nomaly.tenant.tenantId },
    role: 'admin',
    via: 'browser',
  })
})

test('of two browsers that open a link at once, one is signed in', async () => {
  const path = await makeLink()
  const answers = await Promise.all(Array.from({ length: 8 }, () => browse('GET', path)))
  expect(answers.map(({ status }) => status).toSorted((a, b) => (a < b ? -1 : 1))).toEqual([
    302,
    ...Array.from({ length: 7 }, () => 401),
  ])
})

test('a link that has expired, or was never made, signs nobody in', async () => {
  const path = await makeLink()
  await asSystem(
    `update nomaly.sign_in_links set expires_at = now() - interval '1 second' where used_at is null`,
  )
  for (const wrong of [path, '/sign-in?token=link_never-made', '/sign-in?token=']) {
    const answer = await browse('GET', wrong)
    expect(answer.status).toBe(401)
    expect(answer.headers.getSetCookie()).toEqual([])
  }
  const missing = await browse('GET', '/sign-in')
  expect(missing.body).toMatchObject({ status: 400, errors: [{ field: 'token' }] })
})

test('neither links nor cookies nor keys are kept as they are', async () => {
  const path = await makeLink()
  const cookie = await signIn()
  const rows = await asSystem(`select encode(token_hash, 'escape') as hash from nomaly.sign_in_links
    union all select encode(token_hash, 'escape') from nomaly.sessions
    union all select encode(key_hash, 'escape') from nomaly.api_keys`)
  const stored = JSON.stringify(rows)
  for (const secret of [path.split('=')[1]!, cookie.split('=')[1]!, nomaly.tenant.key])
    expect(stored).not.toContain(secret)
})

test('a cookie changes something only from our own page', async () => {
  const cookie = await signIn()
  const own = new URL(nomaly.url).origin
  const create = (name: string, headers: Record<string, string>): Promise<TestAnswer> =>
    browse('POST', '/v1/datasets', { cookie, body: { name }, headers })
  const foreign: Record<string, string>[] = [
    {},
    { origin: 'https://evil.example' },
    { origin: 'null' },
    { origin: own.replace('127.0.0.1', 'localhost') },
    { origin: `${own}0` },
    { 'sec-fetch-site': 'cross-site' },
    { 'sec-fetch-site': 'same-site', origin: own },
    { 'sec-fetch-site': 'none' },
    { 'sec-fetch-site': 'cross-site', origin: own },
  ]
  for (const headers of foreign) {
    const answer = await create('foreign', headers)
    expect(answer.status, JSON.stringify(headers)).toBe(403)
    expect(answer.body.detail).toBe('The request comes from another site.')
  }
  for (const [method, path] of [
    ['DELETE', '/v1/webhook'],
    ['PUT', '/v1/webhook'],
    ['POST', '/v1/sign-out'],
  ] as const)
    expect((await browse(method, path, { cookie, headers: { origin: 'https://evil.example' } })).status).toBe(
      403,
    )
  expect((await create('own-origin', { origin: own })).status).toBe(201)
  expect((await create('own-fetch', { 'sec-fetch-site': 'same-origin' })).status).toBe(201)
  // Reading is nobody's loss: another site cannot see the answer. A key comes with no request by itself.
  expect(
    (await browse('GET', '/v1/datasets', { cookie, headers: { 'sec-fetch-site': 'cross-site' } })).status,
  ).toBe(200)
  const byKey = await nomaly.request('POST', '/v1/datasets', {
    body: { name: 'by-key' },
    headers: { origin: 'https://evil.example', 'sec-fetch-site': 'cross-site' },
  })
  expect(byKey.status).toBe(201)
  const { body } = await nomaly.request('GET', '/v1/datasets')
  expect(body.items.map(({ name }: { name: string }) => name)).toEqual(['by-key', 'own-fetch', 'own-origin'])
})

test('no page that another site may read: nothing says that it may', async () => {
  const answer = await nomaly.request('GET', '/v1/datasets', { headers: { origin: 'https://evil.example' } })
  expect([...answer.headers.keys()].filter((name) => name.startsWith('access-control'))).toEqual([])
})

test('a Host header that names another machine is refused, on every route', async () => {
  const { port } = new URL(nomaly.url)
  for (const { method, path } of await listAppRoutes(nomaly)) {
    const answer = await sendRaw(nomaly.url, {
      method,
      path: path.replaceAll(/:\w+/g, '1').replace('*', ''),
      headers: { host: `rebound.example:${port}`, authorization: `Bearer ${nomaly.tenant.key}` },
    })
    expect(answer.status, `${method} ${path}`).toBe(403)
    expect(JSON.parse(answer.text).detail).toBe('The Host header names another machine.')
  }
  for (const host of [`127.0.0.1:${port}`, `localhost:${port}`, `[::1]:${port}`, 'localhost']) {
    const answer = await sendRaw(nomaly.url, { method: 'GET', path: '/healthz', headers: { host } })
    expect(answer.status, host).toBe(200)
  }
  for (const host of [
    '127.0.0.1.evil.example',
    'evil.example#127.0.0.1',
    'localhost.evil.example',
    '127.0.0.2',
    '[::2]',
  ])
    expect(
      (await sendRaw(nomaly.url, { method: 'GET', path: '/healthz', headers: { host } })).status,
      host,
    ).toBe(403)
})

test('signing out ends the cookie at once, on every server', async () => {
  await using beside = await startTestNomaly({ worker: false, beside: nomaly })
  const cookie = await signIn()
  const other = await signIn()
  const me = (): Promise<TestAnswer> => browse('GET', '/v1/me', { cookie })
  const meBeside = async (): Promise<number> =>
    (await beside.request('GET', '/v1/me', { key: '', headers: { cookie } })).status
  expect((await me()).status).toBe(200)
  expect(await meBeside()).toBe(200)
  const out = await browse('POST', '/v1/sign-out', { cookie, headers: { 'sec-fetch-site': 'same-origin' } })
  expect(out.status).toBe(204)
  expect(out.headers.getSetCookie()[0]).toMatch(/^nomaly=; Max-Age=0; Path=\/; HttpOnly; SameSite=Lax$/)
  expect((await me()).status).toBe(401)
  await expect.poll(meBeside, { timeout: 2_000 }).toBe(401)
  expect((await browse('GET', '/v1/me', { cookie: other })).status).toBe(200)
})

test('a session that has expired is over', async () => {
  const cookie = await signIn()
  await asSystem(`update nomaly.sessions set expires_at = now() - interval '1 second'`)
  expect((await browse('GET', '/v1/me', { cookie })).status).toBe(401)
})

test('a revoked key stops at once, also on another server of the same database', async () => {
  await using beside = await startTestNomaly({ worker: false, beside: nomaly })
  const { body: created } = await nomaly.request('POST', '/v1/keys', {
    body: { name: 'short', role: 'editor' },
  })
  const on = async (server: TestNomaly): Promise<number> =>
    (await server.request('GET', '/v1/me', { key: created.key })).status
  expect([await on(nomaly), await on(beside)]).toEqual([200, 200])
  expect((await nomaly.request('DELETE', `/v1/keys/${created.id}`)).status).toBe(204)
  expect(await on(nomaly)).toBe(401)
  // The other server is told by a notice: no answer that was given before the revocation is believed after it.
  await expect.poll(() => on(beside), { timeout: 2_000 }).toBe(401)
  expect((await nomaly.request('DELETE', `/v1/keys/${created.id}`)).status).toBe(404)
  const { body } = await nomaly.request('GET', '/v1/keys')
  expect(body.items.map(({ name }: { name: string }) => name)).not.toContain('short')
  expect(JSON.stringify(body)).not.toContain(created.key)
})

test('pages and answers carry headers that keep others out', async () => {
  for (const path of ['/', '/datasets', '/docs/', '/openapi.json', '/v1/me', '/v1/unknown', '/healthz']) {
    const { headers } = await nomaly.request('GET', path)
    const policy = headers.get('content-security-policy') ?? ''
    expect(policy, path).toContain("default-src 'self'")
    expect(policy, path).toContain("frame-ancestors 'none'")
    expect(policy, path).not.toMatch(/https?:|\*|unsafe-eval/)
    // The page of the reference brings its script along; ours has none of its own.
    if (!path.startsWith('/docs')) expect(policy, path).not.toMatch(/script-src[^;]*unsafe-inline/)
    expect(headers.get('x-content-type-options'), path).toBe('nosniff')
    expect(headers.get('referrer-policy'), path).toBe('no-referrer')
    expect(headers.get('x-powered-by'), path).toBeNull()
  }
})

test('the reference is a page of this server, which loads nothing from elsewhere', async () => {
  const { status, headers, body } = await nomaly.request('GET', '/docs/', { key: '' })
  expect(status).toBe(200)
  expect(headers.get('content-type')).toMatch(/^text\/html/)
  expect(body).toContain('/openapi.json')
  const sources = [...(body as string).matchAll(/(?:src|href)="([^"]+)"/g)].map(([, source]) => source!)
  expect(sources.length).toBeGreaterThan(0)
  for (const source of sources) expect(source).not.toMatch(/^(https?:)?\/\//)
})

test('the OpenAPI document names every route of /v1, what it takes and how it refuses', async () => {
  const { body: document, headers } = await nomaly.request('GET', '/openapi.json', { key: '' })
  expect(headers.get('content-type')).toMatch(/^application\/json/)
  expect(document.openapi).toMatch(/^3\.1\./)
  expect(document.info).toMatchObject({ title: 'Nomaly', version: expect.any(String) })
  expect(document.components.securitySchemes).toHaveProperty('apiKey')
  const routes = (await listAppRoutes(nomaly)).filter(({ path }) => path.startsWith('/v1/'))
  expect(routes.length).toBeGreaterThan(40)
  for (const { method, path, operation } of routes) {
    const route = `${method} ${path}`
    expect(operation, route).toBeDefined()
    expect(operation!.summary, route).toMatch(/^\S.{5,}$/)
    const parameters = [...path.matchAll(/:(\w+)/g)].map(([, name]) => name!)
    const named = (operation!.parameters ?? [])
      .filter((parameter) => parameter.in === 'path')
      .map(({ name }) => name)
    expect(named, route).toEqual(parameters)
    for (const group of ['4XX', '5XX'])
      expect(operation!.responses[group], `${group} of ${route}`).toMatchObject({
        content: { 'application/problem+json': { schema: { $ref: '#/components/schemas/Problem' } } },
      })
    const successes = Object.keys(operation!.responses).filter((status) => status.startsWith('2'))
    expect(successes.length, route).toBe(1)
  }
  expect(Object.keys(document.components.schemas.Problem.properties)).toEqual(
    expect.arrayContaining(['type', 'title', 'status', 'detail', 'instance', 'errors']),
  )
  // Nothing in it that is not there.
  const operations = Object.entries(document.paths as Record<string, object>).flatMap(([path, methods]) =>
    Object.keys(methods).map((method) => `${method.toUpperCase()} ${path.replaceAll(/\{(\w+)\}/g, ':$1')}`),
  )
  expect(operations.toSorted()).toEqual(routes.map(({ method, path }) => `${method} ${path}`).toSorted())
  // Every reference leads somewhere.
  for (const [, pointer] of JSON.stringify(document).matchAll(/"\$ref":"#\/([^"]+)"/g))
    expect(
      pointer!.split('/').reduce((node, key) => node?.[key], document),
      pointer,
    ).toBeDefined()
})

async function makeLink(): Promise<string> {
  const { status, body } = await nomaly.request('POST', '/v1/sign-in-links')
  expect(status).toBe(201)
  expect(body.path).toMatch(/^\/sign-in\?token=link_[\w-]{43}$/)
  return body.path
}

/** The cookie of a browser that has just signed in. */
async function signIn(): Promise<string> {
  const { headers } = await browse('GET', await makeLink())
  return headers.getSetCookie()[0]!.split(';')[0]!
}

/** A request without a key, as a browser sends it. */
async function browse(
  method: string,
  path: string,
  options: { cookie?: string; body?: unknown; headers?: Record<string, string> } = {},
): Promise<TestAnswer> {
  const { cookie, body, headers } = options
  return nomaly.request(method, path, {
    key: '',
    ...(body === undefined ? {} : { body }),
    headers: { ...(cookie === undefined ? {} : { cookie: cookie.split(';')[0]! }), ...headers },
  })
}

async function asSystem(text: string): Promise<unknown[]> {
  const { value } = await nomaly.store.database.transaction({ role: 'nomaly_system' }, (connection) =>
    connection.query(text),
  )
  return value
}
