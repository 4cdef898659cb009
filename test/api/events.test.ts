import { connect, type Socket } from 'node:net'
import pg from 'pg'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { eventually, startTestNomaly, type TestNomaly } from '../support/nomaly.ts'
import { EventListener, type HeardEvent } from './event-listener.ts'

let nomaly: TestNomaly
/** Another server on the same database, without a worker: it hears of everything through the database. */
let beside: TestNomaly

beforeAll(async () => {
  nomaly = await startTestNomaly()
  beside = await startTestNomaly({ worker: false, beside: nomaly })
})

afterAll(async () => {
  await beside[Symbol.asyncDispose]()
  await nomaly[Symbol.asyncDispose]()
})

const listen = (server: TestNomaly, lastEventId?: string): Promise<EventListener> =>
  EventListener.connect(server.url, nomaly.tenant.key, lastEventId)

const createDataset = async (server: TestNomaly, name: string): Promise<string> => {
  const { status, body } = await server.request('POST', '/v1/datasets', { body: { name } })
  expect(status).toBe(201)
  return body.id
}

const idsOf = (events: readonly HeardEvent[]): string[] => events.map(({ data }) => data.id)

test('an event follows a commit, and only a commit, on every server', async () => {
  await using here = await listen(nomaly)
  await using there = await listen(beside)
  const id = await createDataset(nomaly, 'once')
  // Refused, so nothing has happened.
  expect((await nomaly.request('POST', '/v1/datasets', { body: { name: 'once' } })).status).toBe(409)
  const renamed = await beside.request('PATCH', '/v1/datasets/once', { body: { description: 'x' } })
  expect(renamed.status).toBe(200)
  for (const listener of [here, there]) {
    await listener.first(({ data }) => data.change === 'updated')
    expect(listener.numbered.map(({ event, data }) => [event, data])).toEqual([
      ['dataset', { id, change: 'created' }],
      ['dataset', { id, change: 'updated' }],
    ])
  }
  expect(here.numbered).toEqual(there.numbered)
})

test('points are announced with their dataset, without a number', async () => {
  await using here = await listen(nomaly)
  await using there = await listen(beside)
  const datasetId = await createDataset(nomaly, 'pointed')
  const points = [{ time: 1_767_225_600_000, metric: 'm', value: 1 }]
  await nomaly.request('POST', '/v1/datasets/pointed/points', { body: points })
  for (const listener of [here, there]) {
    const before = listener.lastId
    const heard = await listener.first(({ event }) => event === 'points')
    expect(heard.data).toEqual({ datasetId })
    expect(Number(heard.id)).toBeGreaterThanOrEqual(Number(before))
  }
  // A repetition stores nothing, so there is nothing to tell.
  await nomaly.request('POST', '/v1/datasets/pointed/points', { body: points })
  const marker = await createDataset(nomaly, 'after-points')
  await here.first(({ data }) => data.id === marker)
  expect(here.heard.filter(({ event }) => event === 'points')).toHaveLength(1)
})

test('a run, its job and its finding are told as they change', async () => {
  await createDataset(nomaly, 'watched')
  const points = Array.from({ length: 1_000 }, (_, i) => ({
    time: 1_767_225_600_000 + i * 60_000,
    metric: 'm',
    value: i === 900 ? 1_000 : 100 + ((i * 7919) % 13),
  }))
  await nomaly.request('POST', '/v1/datasets/watched/points', { body: points })
  await using listener = await listen(beside)
  const { body: job } = await nomaly.request('POST', '/v1/jobs', {
    body: { dataset: 'watched', schedule: { kind: 'once' } },
  })
  await listener.first(
    ({ event, data }) => event === 'job' && data.id === job.id && data.status === 'completed',
  )
  const told = (topic: string): unknown[] =>
    listener.numbered.filter(({ event }) => event === topic).map(({ data }) => data.status ?? data.change)
  expect(told('job')).toEqual(['pending', 'running', 'completed'])
  expect(told('run').at(0)).toBe('pending')
  expect(told('run').at(-1)).toBe('completed')
  expect(told('anomaly')).toEqual(['opened'])
  const [anomaly] = listener.numbered.filter(({ event }) => event === 'anomaly')
  expect((await nomaly.request('GET', `/v1/anomalies/${anomaly!.data.id}`)).body.jobId).toBe(job.id)
})

test('Last-Event-ID goes on where a connection broke, on either server, without loss or doubles', async () => {
  await using witness = await listen(nomaly)
  const heard: HeardEvent[] = []
  const made: string[] = []
  let lastId = witness.lastId
  for (let round = 0; round < 6; round++) {
    const server = round % 2 === 0 ? beside : nomaly
    const listener = await listen(server, lastId)
    // Some come while it listens, some while nobody does, from both servers at once.
    const during = Promise.all(
      [0, 1, 2, 3, 4].map((n) => createDataset(n % 2 === 0 ? nomaly : beside, `round-${round}-${n}`)),
    )
    // It breaks at some moment: before, amid or after what it hears.
    if (round % 3 === 0) made.push(...(await during))
    else await eventually(async () => listener.numbered.length >= round % 3, 5_000)
    await listener[Symbol.asyncDispose]()
    if (round % 3 !== 0) made.push(...(await during))
    heard.push(...listener.numbered)
    lastId = listener.lastId
    made.push(await createDataset(nomaly, `round-${round}-alone`))
  }
  await using last = await listen(beside, lastId)
  await last.first(({ data }) => data.id === made.at(-1))
  heard.push(...last.numbered)
  await witness.first(({ data }) => data.id === made.at(-1))
  expect(idsOf(heard).toSorted()).toEqual(made.toSorted())
  expect(heard).toEqual(witness.numbered)
  expect(heard.map(({ id }) => Number(id))).toEqual(
    heard.map(({ id }) => Number(id)).toSorted((a, b) => a - b),
  )
})

test('an id that was never given out starts with what comes next', async () => {
  for (const wrong of ['', 'x', '-1', '1.5', '9'.repeat(16)]) {
    await using listener = await listen(nomaly, wrong)
    expect(listener.numbered, wrong).toEqual([])
    expect(Number(listener.lastId)).toBeGreaterThan(0)
  }
  const tooLong = await nomaly.request('GET', '/v1/events', { headers: { 'last-event-id': '9'.repeat(30) } })
  expect(tooLong.body).toMatchObject({ status: 400, errors: [{ field: 'last-event-id' }] })
})

test('a listener that does not read is let go, the others are not held up, and it finds everything again', async () => {
  const admin = new pg.Client({ connectionString: nomaly.database.adminUrl })
  await admin.connect()
  await using quick = await listen(nomaly)
  const from = quick.lastId
  const slow = await connectSilently(nomaly, from)
  try {
    // More than the buffers of both ends hold, in events that are larger than any of ours.
    const count = 300
    const { rows } = await admin.query<{ id: string }>(
      `insert into nomaly.events (tenant_id, topic, payload)
       select $1, 'dataset', jsonb_build_object('id', n, 'filling', repeat('x', 60000)) from generate_series(1, ${count}) n
       returning id`,
      [nomaly.tenant.tenantId],
    )
    await admin.query(`select pg_notify('nomaly', $1)`, [`events ${nomaly.tenant.tenantId} `])
    await quick.first(({ id }) => id === rows.at(-1)!.id)
    expect(quick.numbered).toHaveLength(count)
    // The server has closed: what is written to it now comes back as an error, though nothing was read.
    await eventually(async () => {
      slow.write('\r\n')
      return slow.destroyed
    }, 10_000)
    await using again = await listen(beside, from)
    await again.first(({ id }) => id === rows.at(-1)!.id)
    expect(idsOf(again.numbered)).toEqual(idsOf(quick.numbered))
  } finally {
    slow.destroy()
    await admin.query('delete from nomaly.events where length(payload::text) > 50000')
    await admin.end()
  }
})

test('a key that is revoked hears nothing more', async () => {
  const { body: created } = await nomaly.request('POST', '/v1/keys', {
    body: { name: 'listener', role: 'viewer' },
  })
  await using here = await EventListener.connect(nomaly.url, created.key)
  await using there = await EventListener.connect(beside.url, created.key)
  await using witness = await listen(nomaly)
  await nomaly.request('DELETE', `/v1/keys/${created.id}`)
  await eventually(async () => here.isOver && there.isOver, 5_000)
  const id = await createDataset(nomaly, 'after-revocation')
  await witness.first(({ data }) => data.id === id)
  expect([...here.numbered, ...there.numbered]).toEqual([])
})

test('the server ends its streams when it stops, so that nothing keeps it from stopping', async () => {
  const short = await startTestNomaly({ worker: false, beside: nomaly })
  await using listener = await listen(short)
  await short[Symbol.asyncDispose]()
  await eventually(async () => listener.isOver, 2_000)
})

/** A connection that asks for events and never reads one. */
async function connectSilently(server: TestNomaly, lastEventId: string): Promise<Socket> {
  const { hostname, port } = new URL(server.url)
  const socket = connect(Number(port), hostname)
  socket.on('error', () => {})
  socket.pause()
  await new Promise((resolve) => socket.once('connect', resolve))
  socket.write(
    `GET /v1/events HTTP/1.1\r\nhost: 127.0.0.1\r\nauthorization: Bearer ${nomaly.tenant.key}\r\nlast-event-id: ${lastEventId}\r\n\r\n`,
  )
  return socket
}
