import { connect as connectTo } from 'node:net'
import { text as readText } from 'node:stream/consumers'
import { setTimeout as sleep } from 'node:timers/promises'
import pg from 'pg'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { eventually, startTestNomaly, type TestNomaly } from '../support/nomaly.ts'
import { EventListener } from './event-listener.ts'
import { EventWebSocket } from './event-web-socket.ts'

let nomaly: TestNomaly
let beside: TestNomaly

beforeAll(async () => {
  nomaly = await startTestNomaly()
  beside = await startTestNomaly({ worker: false, beside: nomaly })
})

afterAll(async () => {
  await beside[Symbol.asyncDispose]()
  await nomaly[Symbol.asyncDispose]()
})

const createDataset = async (server: TestNomaly, name: string): Promise<string> => {
  const { status, body } = await server.request('POST', '/v1/datasets', { body: { name } })
  expect(status).toBe(201)
  return body.id
}

const connect = (server: TestNomaly, lastEventId?: string): Promise<EventWebSocket> =>
  EventWebSocket.connect(server.url, nomaly.tenant.key, lastEventId === undefined ? {} : { lastEventId })

test('the same events in the same order as over server-sent events, on every server', async () => {
  await using here = await connect(nomaly)
  await using there = await connect(beside)
  await using sse = await EventListener.connect(nomaly.url, nomaly.tenant.key)
  const ids: string[] = []
  for (let i = 0; i < 8; i++) ids.push(await createDataset(i % 2 === 0 ? nomaly : beside, `same-${i}`))
  const points = [{ time: 1_767_225_600_000, metric: 'm', value: 1 }]
  await beside.request('POST', '/v1/datasets/same-0/points', { body: points })
  for (const listener of [here, there, sse]) await listener.first(({ event }) => event === 'points')
  for (const listener of [here, there, sse]) await listener.first(({ data }) => data.id === ids.at(-1))
  expect(here.numbered.map(({ data }) => data.id)).toEqual(ids)
  expect(there.numbered).toEqual(here.numbered)
  expect(sse.numbered).toEqual(here.numbered)
  expect(here.heard.find(({ event }) => event === 'points')).toEqual({
    event: 'points',
    data: { datasetId: ids[0] },
  })
})

test('lastEventId goes on where a connection broke, in either way of listening, and on either server', async () => {
  await using witness = await connect(nomaly)
  const start = witness.lastId
  const first = await createDataset(nomaly, 'resume-1')
  await witness.first(({ data }) => data.id === first)
  const middle = witness.lastId
  const second = await createDataset(beside, 'resume-2')
  await witness.first(({ data }) => data.id === second)
  await using fromStart = await connect(beside, start)
  await fromStart.first(({ data }) => data.id === second)
  expect(fromStart.numbered).toEqual(witness.numbered)
  await using fromMiddle = await connect(beside, middle)
  await fromMiddle.first(({ data }) => data.id === second)
  expect(fromMiddle.numbered.map(({ data }) => data.id)).toEqual([second])
  // EventSource cannot send a header when it connects for the first time.
  const response = await fetch(`${beside.url}/v1/events?lastEventId=${middle}`, {
    headers: { authorization: `Bearer ${nomaly.tenant.key}` },
  })
  const reader = response.body!.getReader()
  let text = ''
  while (!text.includes(second)) text += new TextDecoder().decode((await reader.read()).value)
  expect(text).not.toContain(first)
  await reader.cancel()
})

test('a number that is kept no more, or never was given out, is answered with a reset', async () => {
  const { tenantId, key } = await nomaly.createTenant('forgetful')
  const admin = new pg.Client({ connectionString: nomaly.database.adminUrl })
  await admin.connect()
  try {
    const { rows } = await admin.query<{ id: string }>(
      `insert into nomaly.events (tenant_id, topic, payload)
       select $1, 'dataset', jsonb_build_object('id', n) from generate_series(1, 5) n returning id`,
      [tenantId],
    )
    const ids = rows.map(({ id }) => id)
    await using exact = await EventWebSocket.connect(nomaly.url, key, { lastEventId: ids[0]! })
    await exact.first(({ id }) => id === ids[4])
    expect(exact.heard.map(({ event }) => event)).not.toContain('reset')
    await admin.query('delete from nomaly.events where id = any($1::bigint[])', [ids.slice(0, 3)])
    await using behind = await EventWebSocket.connect(nomaly.url, key, { lastEventId: ids[0]! })
    await behind.first(({ id }) => id === ids[4])
    expect(behind.heard.map(({ event }) => event)).toEqual(['hello', 'reset', 'dataset', 'dataset'])
    await using ahead = await EventWebSocket.connect(nomaly.url, key, { lastEventId: '999999999999' })
    await ahead.first(({ event }) => event === 'reset')
    expect(ahead.lastId).toBe(ids[4])
    await using sse = await EventListener.connect(nomaly.url, key, ids[0])
    await sse.first(({ event }) => event === 'reset')
  } finally {
    await admin.end()
  }
})

test('needs a key or a cookie, and a cookie only from our own pages', async () => {
  const refusal = async (key: string, headers: Record<string, string>): Promise<string> => {
    try {
      await using _socket = await EventWebSocket.connect(nomaly.url, key, { headers })
      return 'let in'
    } catch (error) {
      return (error as Error).message
    }
  }
  expect(await refusal('', {})).toBe('refused with 401')
  expect(await refusal('nomaly_wrong', {})).toBe('refused with 401')
  const { body: link } = await nomaly.request('POST', '/v1/sign-in-links')
  const token = new URL(link.path, nomaly.url).searchParams.get('token')
  const signedIn = await fetch(`${nomaly.url}/sign-in?token=${token}`, { redirect: 'manual' })
  const cookie = signedIn.headers.getSetCookie()[0]!.split(';')[0]!
  const origin = nomaly.url
  expect(await refusal('', { cookie, origin })).toBe('let in')
  expect(await refusal('', { cookie, origin, 'sec-fetch-site': 'same-origin' })).toBe('let in')
  expect(await refusal('', { cookie, origin: 'https://evil.example' })).toBe('refused with 403')
  expect(await refusal('', { cookie, origin: 'null' })).toBe('refused with 403')
  expect(await refusal('', { cookie })).toBe('refused with 403')
  expect(await refusal('', { cookie, origin, 'sec-fetch-site': 'cross-site' })).toBe('refused with 403')
  // A key is no cookie: it does not come along by itself.
  expect(await refusal(nomaly.tenant.key, { origin: 'https://evil.example' })).toBe('let in')
  expect(await refusal(nomaly.tenant.key, { host: 'evil.example' })).toBe('refused with 403')
})

test('only what asks for a WebSocket where there is one becomes one; any other offer is passed over', async () => {
  const port = Number(new URL(nomaly.url).port)
  const offer = async (method: string, path: string, protocol: string, body = ''): Promise<string> => {
    const socket = connectTo(port, '127.0.0.1')
    socket.write(
      `${method} ${path} HTTP/1.1\r\nhost: 127.0.0.1:${port}\r\nauthorization: Bearer ${nomaly.tenant.key}\r\n` +
        `upgrade: ${protocol}\r\nconnection: upgrade, close\r\ncontent-type: application/json\r\n` +
        `content-length: ${body.length}\r\n\r\n${body}`,
    )
    return (await readText(socket)).split('\r\n')[0]!
  }
  expect(await offer('GET', '/v1/me', 'h2c')).toBe('HTTP/1.1 200 OK')
  expect(await offer('GET', '/v1/me', 'websocket')).toBe('HTTP/1.1 200 OK')
  // A body is not taken for what follows an upgrade.
  const body = JSON.stringify({ name: 'offered' })
  expect(await offer('POST', '/v1/datasets', 'h2c', body)).toBe('HTTP/1.1 201 Created')
  expect(await offer('POST', '/v1/events', 'websocket', body)).toBe('HTTP/1.1 404 Not Found')
  // It is one, but says no key.
  expect(await offer('GET', '/v1/events', 'websocket')).toBe('HTTP/1.1 400 Bad Request')
  const tooLong = await EventWebSocket.connect(nomaly.url, nomaly.tenant.key, {
    lastEventId: '9'.repeat(30),
  }).catch((error: Error) => error.message)
  expect(tooLong).toBe('refused with 400')
})

test('what a listener says is ignored, unless it is too much', async () => {
  await using listener = await connect(nomaly)
  listener.socket.send('hello?')
  const id = await createDataset(nomaly, 'talkative')
  await listener.first(({ data }) => data.id === id)
  listener.socket.send('x'.repeat(10_000))
  await eventually(async () => listener.closed !== undefined)
})

test('a reader that does not read is let go with a reason, the others are not held up', async () => {
  const admin = new pg.Client({ connectionString: nomaly.database.adminUrl })
  await admin.connect()
  await using quick = await connect(nomaly)
  await using slow = await EventWebSocket.connect(nomaly.url, nomaly.tenant.key, {
    isDeaf: true,
    lastEventId: quick.lastId,
  })
  try {
    const { rows } = await admin.query<{ id: string }>(
      `insert into nomaly.events (tenant_id, topic, payload)
       select $1, 'dataset', jsonb_build_object('id', n, 'filling', repeat('x', 60000)) from generate_series(1, 300) n
       returning id`,
      [nomaly.tenant.tenantId],
    )
    await admin.query(`select pg_notify('nomaly', $1)`, [`events ${nomaly.tenant.tenantId} `])
    await quick.first(({ id }) => id === rows.at(-1)!.id)
    expect(quick.numbered).toHaveLength(300)
    const dropped = (): Promise<string> => nomaly.request('GET', '/metrics').then(({ body }) => String(body))
    await eventually(async () =>
      /listeners_dropped_total\{[^}]*reason="slow"[^}]*\} [1-9]/.test(await dropped()),
    )
    // What had been sent can still be read; what it says at the end is why.
    slow.socket.resume()
    await eventually(async () => slow.closed !== undefined)
    if (slow.closed!.code !== 1006) expect(slow.closed).toMatchObject({ code: 1013 })
    await using again = await connect(beside, slow.lastId)
    await again.first(({ id }) => id === rows.at(-1)!.id)
    const ids = [...slow.numbered, ...again.numbered].map(({ id }) => id)
    expect(ids).toEqual(quick.numbered.map(({ id }) => id))
  } finally {
    await admin.query('delete from nomaly.events where length(payload::text) > 50000')
    await admin.end()
  }
})

test('a revoked key, and a server that stops, end the connection and say so', async () => {
  const { body: created } = await nomaly.request('POST', '/v1/keys', {
    body: { name: 'listener', role: 'viewer' },
  })
  await using socket = await EventWebSocket.connect(beside.url, created.key)
  await using sse = await EventListener.connect(beside.url, created.key)
  await nomaly.request('DELETE', `/v1/keys/${created.id}`)
  await eventually(async () => socket.closed !== undefined && sse.isOver)
  expect(socket.closed).toMatchObject({ code: 1008, reason: expect.stringContaining('revoked') })
  expect(sse.heard.at(-1)).toMatchObject({ event: 'dropped', data: { reason: 'revoked' } })
  const short = await startTestNomaly({ worker: false, beside: nomaly })
  await using last = await connect(short)
  await using lastSse = await EventListener.connect(short.url, nomaly.tenant.key)
  await short[Symbol.asyncDispose]()
  await eventually(async () => last.closed !== undefined && lastSse.isOver, 3_000)
  expect(last.closed).toMatchObject({ code: 1001, reason: expect.stringContaining('stopping') })
  expect(lastSse.heard.at(-1)).toMatchObject({ event: 'dropped', data: { reason: 'stopping' } })
})

test('there are only so many listeners, of one tenant and of all, and each that leaves makes room', async () => {
  const small = await startTestNomaly({
    worker: false,
    beside: nomaly,
    config: { maxEventStreams: 5, maxEventStreamsPerTenant: 3 },
  })
  try {
    const other = await nomaly.createTenant('other-listeners')
    const open: EventWebSocket[] = []
    for (let i = 0; i < 3; i++) open.push(await connect(small))
    expect(await connect(small).catch((error: Error) => error.message)).toBe('refused with 503')
    const sse = await small.request('GET', '/v1/events')
    expect([sse.status, sse.headers.get('retry-after')]).toEqual([503, '30'])
    for (let i = 0; i < 2; i++) open.push(await EventWebSocket.connect(small.url, other.key))
    expect(await EventWebSocket.connect(small.url, other.key).catch((error: Error) => error.message)).toBe(
      'refused with 503',
    )
    await open[0]![Symbol.asyncDispose]()
    const next = await eventually(() => connect(small).catch(() => undefined))
    open.push(next)
    for (const socket of open) await socket[Symbol.asyncDispose]()
    await eventually(async () =>
      /^nomaly_event_listeners\{transport="websocket"\} 0$/m.test(
        (await small.request('GET', '/metrics')).body,
      ),
    )
    // Requests that are refused or broken off in the middle hold no place.
    for (let i = 0; i < 10; i++) {
      const gone = new AbortController()
      const asked = fetch(`${small.url}/v1/events`, {
        headers: { authorization: `Bearer ${nomaly.tenant.key}` },
        signal: gone.signal,
      }).catch(() => {})
      await sleep(i)
      gone.abort()
      await asked
    }
    const again: EventWebSocket[] = []
    for (let i = 0; i < 3; i++) again.push(await eventually(() => connect(small).catch(() => undefined)))
    for (const socket of again) await socket[Symbol.asyncDispose]()
  } finally {
    await small[Symbol.asyncDispose]()
  }
})
