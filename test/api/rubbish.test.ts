import fc from 'fast-check'
import pg from 'pg'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { startTestNomaly, type TestNomaly } from '../support/nomaly.ts'
import { type AppRoute, listAppRoutes } from './app-routes.ts'
import { digestDatabase } from './database-digest.ts'
import { makeKnownThings } from './known-things.ts'
import { type RawRequest, sendBytes, sendRaw } from './raw-request.ts'
import { expectSound } from './refusals.ts'
import { rubbishAt } from './rubbish-requests.ts'

const RUNS = process.env['NOMALY_TEST_SCENARIOS'] === '1' ? 300 : 20
/** The demo is a second of work for each time it is asked for. */
const SLOW_RUNS: Readonly<Record<string, number>> = { '/v1/demo': 3 }
const SEED = 20_260_101

let nomaly: TestNomaly
let client: pg.Client
let routes: AppRoute[]

beforeAll(async () => {
  nomaly = await startTestNomaly({ worker: false, config: { maxBodyBytes: 2_000_000 } })
  client = new pg.Client({ connectionString: nomaly.database.adminUrl })
  await client.connect()
  // The demo comes last: the more points there are, the longer each look at all of them takes.
  routes = (await listAppRoutes(nomaly)).toSorted(
    (a, b) => Number(a.path === '/v1/demo') - Number(b.path === '/v1/demo'),
  )
})

afterAll(async () => {
  await client.end()
  await nomaly[Symbol.asyncDispose]()
})

test(
  'whatever is sent to whichever route, nothing fails, nothing leaks, and what is refused leaves nothing behind',
  { timeout: 1_200_000 },
  async () => {
    expect(routes.length).toBeGreaterThan(45)
    const statuses = new Map<number, number>()
    const failures: string[] = []
    for (const route of routes) {
      const known = await makeKnownThings(nomaly, client)
      let before = await digestDatabase(client)
      const expectUnchanged = async (what: string): Promise<void> =>
        expect(await digestDatabase(client), `changed by ${what}`).toBe(before)
      const details = await fc.check(
        fc.asyncProperty(rubbishAt(route, nomaly.tenant.key, known), async (request) => {
          const answer = await sendRaw(nomaly.url, request)
          statuses.set(answer.status, (statuses.get(answer.status) ?? 0) + 1)
          expectSound(answer, describeRequest(request))
          // What only reads is looked at once, below: the look takes longer than the request.
          if (request.method === 'GET') return
          if (answer.status >= 400) await expectUnchanged(describeRequest(request))
          else before = await digestDatabase(client)
        }),
        { seed: SEED, numRuns: SLOW_RUNS[route.path] ?? RUNS },
      )
      if (details.failed)
        failures.push(`${(details.errorInstance as Error).message} (path ${details.counterexamplePath})`)
      else if (route.method === 'GET') await expectUnchanged(`GET ${route.path}`)
      expect(await isReady(), `ready after ${route.method} ${route.path}`).toBe(true)
    }
    expect(failures.join('\n\n')).toBe('')
    // Rubbish that never gets past the first check, or is never refused, would prove nothing.
    const refusals = [400, 401, 403, 404, 409, 413, 415]
    for (const status of [200, 201, 204, ...refusals])
      expect(statuses.get(status), `answers with ${status}`).toBeGreaterThan(5)
  },
)

test('a path is answered with a problem whatever the method', async () => {
  for (const { path } of routes)
    for (const method of ['PUT', 'PATCH', 'DELETE', 'OPTIONS', 'PROPFIND', 'POST']) {
      if (routes.some((route) => route.path === path && route.method === method)) continue
      const answer = await sendRaw(nomaly.url, {
        method,
        path: path.replaceAll(/:\w+/g, '00000000-0000-0000-0000-000000000000').replace('*', 'anything'),
        headers: { authorization: `Bearer ${nomaly.tenant.key}` },
      })
      expect(answer.status, `${method} ${path}`).toBe(404)
      expectSound(answer, `${method} ${path}`)
    }
})

test.each([
  ['no HTTP at all', 'hello\r\n\r\n', 400],
  ['a binary greeting', '\x16\x03\x01\x00\x05\x01\x00\x00\x01\x00', 400],
  ['a method nobody knows', 'FETCH / HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n', 400],
  ['no host', 'GET /v1/me HTTP/1.1\r\nconnection: close\r\n\r\n', 400],
  [
    'a length that is no number',
    'POST /v1/detect HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-length: -5\r\n\r\n',
    400,
  ],
  [
    'two lengths',
    'POST /v1/detect HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\n',
    400,
  ],
  [
    'a length and chunks',
    'POST /v1/detect HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n',
    400,
  ],
  ['a NUL in a header', 'GET /v1/me HTTP/1.1\r\nhost: 127.0.0.1\r\nx: a\0b\r\n\r\n', 400],
  ['a folded header', 'GET /v1/me HTTP/1.1\r\nhost: 127.0.0.1\r\nx: a\r\n b\r\n\r\n', 400],
  ['a header without end', `GET /v1/me HTTP/1.1\r\nhost: 127.0.0.1\r\nx: ${'a'.repeat(40_000)}\r\n\r\n`, 431],
  ['a path without end', `GET /${'a'.repeat(40_000)} HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n`, 431],
  [
    'a path that is not encoded',
    'GET /v1/runs/%zz HTTP/1.1\r\nhost: 127.0.0.1\r\nconnection: close\r\n\r\n',
    400,
  ],
  [
    'a part of a path without end',
    `GET /v1/runs/${'a'.repeat(400)} HTTP/1.1\r\nhost: 127.0.0.1\r\nconnection: close\r\n\r\n`,
    404,
  ],
])('a request that is none is answered with a problem: %s', async (_, bytes, status) => {
  const answer = await sendBytes(nomaly.url, Buffer.from(bytes, 'latin1'))
  expect(answer.status).toBe(status)
  expectSound(answer, bytes.slice(0, 100))
  expect(await isReady()).toBe(true)
})

test('a body that breaks off stores nothing, and does no harm', async () => {
  await makeKnownThings(nomaly, client)
  const before = await digestDatabase(client)
  const head = `POST /v1/datasets/known/points HTTP/1.1\r\nhost: 127.0.0.1\r\nauthorization: Bearer ${nomaly.tenant.key}\r\n`
  const point = '{"time":1767225600000,"metric":"half","value":1}\n'
  const chunk = `${point.length.toString(16)}\r\n${point}\r\n`
  for (const rest of [
    `content-type: application/x-ndjson\r\ncontent-length: 1000\r\n\r\n${point}`,
    `content-type: application/x-ndjson\r\ntransfer-encoding: chunked\r\n\r\n${chunk}`,
    `content-type: application/x-ndjson\r\ntransfer-encoding: chunked\r\n\r\n${chunk}zz\r\n`,
    `content-type: application/json\r\ncontent-length: 1000\r\n\r\n[${point}`,
  ])
    await sendBytes(nomaly.url, Buffer.from(head + rest), { endsAfterMs: 100 })
  expect(await digestDatabase(client)).toBe(before)
  expect(await isReady()).toBe(true)
})

test('a refused upload leaves its connection fit for the next request', async () => {
  await makeKnownThings(nomaly, client)
  const headers = { authorization: `Bearer ${nomaly.tenant.key}` }
  for (const type of ['application/x-ndjson', 'application/json', 'text/csv']) {
    const upload = {
      method: 'POST',
      headers: { ...headers, 'content-type': type },
      body: Buffer.alloc(1_900_000, 'a'),
    }
    for (const path of ['/v1/datasets/known/points', '/v1/datasets/none/points', '/v1/detect']) {
      const refused = await sendRaw(nomaly.url, { ...upload, path })
      expect(refused.status).toBe(path.includes('none') ? 404 : 413)
      expect((await sendRaw(nomaly.url, { method: 'GET', path: '/v1/me', headers })).status).toBe(200)
    }
  }
})

async function isReady(): Promise<boolean> {
  const { status } = await nomaly.request('GET', '/readyz')
  return status === 200
}

function describeRequest({ method, path, headers, body }: RawRequest): string {
  const bytes =
    body === undefined ? '' : ` ${JSON.stringify(Buffer.from(body).toString('latin1').slice(0, 300))}`
  return `${method} ${path.slice(0, 300)} ${JSON.stringify(headers).slice(0, 400)}${bytes}`
}
