import { once } from 'node:events'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { createServer, type IncomingMessage, type RequestListener, type Server } from 'node:http'
import { createServer as createTlsServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { PatroniClient } from '../../src/operations/failover/patroni-client.ts'
import { makeCertificates } from '../support/certificates.ts'

// What a real cluster answers is tried in test/scenarios/failover.test.ts; this is about members that do not answer, or not what was hoped for.

const CLUSTER = {
  members: [
    { name: 'n1', role: 'leader', state: 'running', host: '10.0.0.1', port: 5432, timeline: 4 },
    { name: 'n2', role: 'sync_standby', state: 'running', host: '10.0.0.2', port: 5432, timeline: 4, lag: 0 },
    { name: 'n3', role: 'replica', state: 'stopped', host: '10.0.0.3', port: 5433, lag: 'unknown' },
  ],
}

async function listen(server: Server): Promise<number> {
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  onTestFinished(() => {
    server.closeAllConnections()
    server.close()
  })
  return (server.address() as AddressInfo).port
}

function answering(status: number, body: unknown): RequestListener {
  return (_, response) =>
    response.writeHead(status).end(typeof body === 'string' ? body : JSON.stringify(body))
}

test('members, roles and settings are read from whichever member answers', async () => {
  const port = await listen(createServer(answering(200, CLUSTER)))
  const away = await listen(createServer(answering(503, '{}')))
  const client = new PatroniClient(`http://127.0.0.1:1,127.0.0.1:${away},127.0.0.1:${port}`)
  const view = await client.cluster()
  expect(view).toMatchObject({
    isPaused: false,
    hasScheduledSwitchover: false,
    leader: { name: 'n1', timeline: 4 },
  })
  expect(view.members.map(({ name, role, isUp, lagBytes }) => [name, role, isUp, lagBytes])).toEqual([
    ['n1', 'leader', true, undefined],
    ['n2', 'sync_standby', true, 0],
    ['n3', 'replica', false, undefined],
  ])
})

test('a member that hangs costs its timeout once', async () => {
  const hanging = await listen(createServer(() => {}))
  const port = await listen(createServer(answering(200, CLUSTER)))
  const client = new PatroniClient(`http://127.0.0.1:${hanging},127.0.0.1:${port}`, { timeoutMs: 300 })
  await client.cluster()
  const beganAt = performance.now()
  await client.cluster()
  expect(performance.now() - beganAt).toBeLessThan(300)
})

test('nobody answers: the error names each, and what to look at, and no password', async () => {
  const client = new PatroniClient('http://patroni:s%40cret@127.0.0.1:1,127.0.0.1:2')
  const error = await client.cluster().catch((caught: unknown) => caught as Error)
  expect(error).toMatchObject({
    code: 'unavailable',
    message: expect.stringMatching(/127\.0\.0\.1:1.*127\.0\.0\.1:2/),
  })
  expect(JSON.stringify(error) + String(error)).not.toMatch(/s@cret|s%40cret/)
  const port = await listen(createServer(answering(200, { hello: 'world' })))
  await expect(new PatroniClient(`http://127.0.0.1:${port}`).cluster()).rejects.toMatchObject({
    code: 'unavailable',
  })
})

test('an order goes to one member, with user and password, and says what Patroni says', async () => {
  const orders: { path: string | undefined; authorization: string | undefined; body: string }[] = []
  const take =
    (status: number, text: string) =>
    async (request: IncomingMessage, response: Parameters<RequestListener>[1]) => {
      let body = ''
      for await (const part of request) body += String(part)
      orders.push({ path: request.url, authorization: request.headers.authorization, body })
      response.writeHead(status).end(text)
    }
  const ready = await listen(
    createServer((...both) => void take(200, 'Successfully switched over to "n2"\n')(...both)),
  )
  const other = await listen(createServer((...both) => void take(412, 'candidate is not sync')(...both)))
  const client = new PatroniClient(
    `http://patroni:s%40cret@127.0.0.1:1,127.0.0.1:${ready},127.0.0.1:${other}`,
  )
  expect(await client.switchover('n1', 'n2')).toBe('Successfully switched over to "n2"')
  expect(orders).toEqual([
    {
      path: '/switchover',
      authorization: `Basic ${Buffer.from('patroni:s@cret').toString('base64')}`,
      body: '{"leader":"n1","candidate":"n2"}',
    },
  ])
  await expect(new PatroniClient(`http://127.0.0.1:${other}`).failover('n3')).rejects.toMatchObject({
    code: 'conflict',
    message: expect.stringContaining('candidate is not sync'),
  })
})

test('an order whose answer is lost may have been followed', async () => {
  const port = await listen(createServer((request) => request.socket.destroy()))
  await expect(
    new PatroniClient(`http://127.0.0.1:${port}`).switchover('n1', undefined),
  ).rejects.toMatchObject({
    code: 'unknown_outcome',
  })
})

test('over TLS only the authority that was named is believed', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'nomaly-patroni-'))
  onTestFinished(() => rm(folder, { recursive: true }))
  const { ca, cert, key } = await makeCertificates(folder)
  const options = { cert: await readFile(cert), key: await readFile(key) }
  const port = await listen(createTlsServer(options, answering(200, CLUSTER)))
  expect((await new PatroniClient(`https://127.0.0.1:${port}?ca=${ca}`).cluster()).leader?.name).toBe('n1')
  await expect(new PatroniClient(`https://127.0.0.1:${port}`).cluster()).rejects.toMatchObject({
    code: 'unavailable',
  })
  await expect(
    new PatroniClient(`https://127.0.0.1:${port}?ca=/nowhere.pem`).cluster(),
  ).rejects.toMatchObject({
    code: 'invalid_input',
    message: expect.stringContaining('/nowhere.pem'),
  })
})

test.each([
  ['n1:8008', 'must begin with http:// or https://'],
  ['https://n1:8008 http://n2:8008', 'one of them throughout'],
  ['https://n1:8008/cluster', 'is not the address'],
  ['http://n1:99999', 'host that cannot be read'],
  ['http://n1:8008?ca=x', 'is not https'],
  ['https://n1:8008?secret=x', 'parameter "secret"'],
  ['https://u:%zz@n1:8008', 'not percent-encoded'],
])('%s is refused', (urls, reason) => {
  expect(() => new PatroniClient(urls)).toThrow(reason)
})
