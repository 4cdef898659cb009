import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { gzipSync } from 'node:zlib'
import pg from 'pg'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { eventually, startTestNomaly, type TestAnswer, type TestNomaly } from '../support/nomaly.ts'

const MIB = 1_048_576
const BUDGET = 2 * MIB
const MAX_BODY = 2 * MIB
const START = Date.UTC(2026, 0, 1)
// So many that they wait for nobody else.
const POINTS = 10_000

let nomaly: TestNomaly
let made = 0

beforeAll(async () => {
  nomaly = await startTestNomaly({
    worker: false,
    config: { maxIngestBytes: BUDGET, maxBodyBytes: MAX_BODY, acquireTimeoutMs: 2_000, maxWaitingPoints: 40 },
  })
})

afterAll(async () => {
  await nomaly[Symbol.asyncDispose]()
})

async function makeDataset(): Promise<string> {
  const name = `full-${(made += 1)}`
  // A machine that has much else to do is too busy now and then.
  await eventually(async () => {
    const { status } = await nomaly.request('POST', '/v1/datasets', { body: { name } })
    return status !== 503
  })
  return name
}

/** Some 1 MB of a series of its own. */
function bodyOf(sender: number, points = POINTS): string {
  const pad = 'x'.repeat(25)
  return Array.from({ length: points }, (_, i) =>
    JSON.stringify({
      time: START + i * 1000,
      metric: 'm',
      tags: { sender: `${sender}`, pad },
      value: i,
    }),
  ).join('\n')
}

const send = (
  dataset: string,
  body: string | Uint8Array<ArrayBuffer>,
  headers = {},
  to: TestNomaly = nomaly,
): Promise<TestAnswer> =>
  to.request('POST', `/v1/datasets/${dataset}/points`, {
    body,
    headers: { 'content-type': 'application/x-ndjson', ...headers },
  })

async function storedPoints(dataset: string): Promise<number> {
  const { body } = await nomaly.request('GET', `/v1/datasets/${dataset}/series?limit=500`)
  let points = 0
  for (const { id } of body.items)
    points += (await nomaly.request('GET', `/v1/series/${id}/points?limit=200000`)).body.timesMs.length
  return points
}

/** Keeps every append that makes a series waiting, until it is disposed. */
async function holdUpAppends(): Promise<AsyncDisposable> {
  const client = new pg.Client({ connectionString: nomaly.database.adminUrl })
  await client.connect()
  await client.query('begin; lock table metrics.series in share mode')
  return { [Symbol.asyncDispose]: () => client.end() }
}

/** Not a number while the server is too busy to say. */
async function gauge(name: string, of: TestNomaly = nomaly): Promise<number> {
  const { body } = await of.request('GET', '/metrics')
  return Number(new RegExp(`^${name} (.+)$`, 'm').exec(String(body))?.[1])
}

/** Looks again and again what is held; the most of it when it is stopped. */
function watchHeldBytes(): { stop(): Promise<number> } {
  let isOver = false
  const watching = (async () => {
    let most = 0
    while (!isOver) {
      most = Math.max(most, (await gauge('nomaly_ingest_held_bytes')) || 0)
      await new Promise((resolve) => setTimeout(resolve, 5))
    }
    return most
  })()
  return {
    stop: () => {
      isOver = true
      return watching
    },
  }
}

test('more bodies than there is room for are refused with 503 and Retry-After, and only they', async () => {
  const dataset = await makeDataset()
  const bodies = Array.from({ length: 12 }, (_, sender) => bodyOf(sender))
  const held = watchHeldBytes()
  let answers: Promise<TestAnswer[]>
  {
    await using _ = await holdUpAppends()
    let refused = 0
    answers = Promise.all(
      bodies.map(async (body) => {
        const answer = await send(dataset, body)
        if (answer.status === 503) refused += 1
        return answer
      }),
    )
    // What is in stays in, and gets no answer before it is committed.
    await eventually(async () => refused >= bodies.length - 4)
  }
  const all = await answers
  const taken = all.filter(({ status }) => status === 200)
  expect(taken.length).toBeGreaterThan(0)
  for (const { body } of taken) expect(body).toMatchObject({ inserted: POINTS, rejectedTotal: 0 })
  for (const { status, headers, body } of all.filter((one) => !taken.includes(one))) {
    expect({ status, detail: body.detail }).toEqual({
      status: 503,
      detail: expect.stringContaining('same time'),
    })
    expect(Number(headers.get('retry-after'))).toBeGreaterThan(0)
  }
  // The budget and one body, of which nothing is held but what was counted.
  const most = await held.stop()
  expect(most).toBeGreaterThan(BUDGET / 2)
  expect(most).toBeLessThanOrEqual(BUDGET + MAX_BODY)
  expect(await storedPoints(dataset)).toBe(taken.length * POINTS)
  // Sent again, all of it is there, once.
  for (const [at, { status }] of all.entries())
    if (status === 503) expect((await send(dataset, bodies[at]!)).body).toMatchObject({ inserted: POINTS })
  expect(await storedPoints(dataset)).toBe(bodies.length * POINTS)
  await eventually(async () => (await gauge('nomaly_ingest_held_bytes')) === 0)
})

test('many small bodies that grow when they are unpacked hold no more than others', async () => {
  const dataset = await makeDataset()
  const bomb = gzipSync(Buffer.alloc(64 * MIB, '\n'))
  const large = gzipSync(bodyOf(0))
  const held = watchHeldBytes()
  const packed = { 'content-encoding': 'gzip' }
  const answers = await Promise.all(
    Array.from({ length: 24 }, (_, i) => send(dataset, i % 2 === 0 ? bomb : large, packed)),
  )
  expect(await held.stop()).toBeLessThanOrEqual(BUDGET + MAX_BODY + 65_536)
  const bombs = answers.filter((_, i) => i % 2 === 0)
  for (const { status } of bombs) expect([413, 503]).toContain(status)
  expect(bombs.map(({ status }) => status)).toContain(413)
  const inserted = answers.reduce((sum, { body }) => sum + (body.inserted ?? 0), 0)
  expect(inserted).toBe(await storedPoints(dataset))
  expect(inserted).toBe(POINTS)
})

test('senders who stop half-way hold what they sent until they go, and not more', async () => {
  const dataset = await makeDataset()
  const { hostname, port } = new URL(nomaly.url)
  const half = Buffer.from(bodyOf(0)).subarray(0, 400_000)
  const sockets: Socket[] = []
  try {
    for (let i = 0; i < 16; i++) {
      const socket = connect(Number(port), hostname)
      sockets.push(socket)
      socket.on('error', () => {})
      await once(socket, 'connect')
      socket.resume()
      socket.write(
        `POST /v1/datasets/${dataset}/points HTTP/1.1\r\nHost: ${hostname}\r\nContent-Type: application/x-ndjson\r\n` +
          `Authorization: Bearer ${nomaly.tenant.key}\r\nContent-Length: ${half.length * 2}\r\n\r\n`,
      )
      socket.write(half)
    }
    await eventually(async () => (await gauge('nomaly_ingest_held_bytes')) > BUDGET / 2)
    // There is room for one more at a time, or none: then it is told so.
    const { status, headers } = await send(dataset, bodyOf(1, 10))
    expect([200, 503]).toContain(status)
    if (status === 503) expect(headers.get('retry-after')).not.toBeNull()
    expect((await gauge('nomaly_ingest_held_bytes')) || 0).toBeLessThanOrEqual(BUDGET + MAX_BODY)
  } finally {
    for (const socket of sockets) socket.destroy()
  }
  await eventually(async () => (await gauge('nomaly_ingest_held_bytes')) === 0)
  const { status, body } = await send(dataset, bodyOf(2))
  expect({ status, inserted: body.inserted }).toEqual({ status: 200, inserted: POINTS })
})

test('more small requests than may wait are refused with 503 and Retry-After; the others are stored whole', async () => {
  const dataset = await makeDataset()
  const count = 40
  let answers: Promise<TestAnswer[]>
  {
    await using _ = await holdUpAppends()
    let refused = 0
    answers = Promise.all(
      Array.from({ length: count }, async (_unused, sender) => {
        const answer = await send(dataset, bodyOf(sender, 10))
        if (answer.status === 503) refused += 1
        return answer
      }),
    )
    await eventually(async () => refused > 0)
    expect((await gauge('nomaly_ingest_waiting_points')) || 0).toBeLessThanOrEqual(40)
  }
  const all = await answers
  const taken = all.filter(({ status }) => status === 200)
  for (const { body } of taken)
    expect(body).toEqual({ inserted: 10, duplicates: 0, conflicting: 0, rejected: [], rejectedTotal: 0 })
  for (const { status, headers } of all.filter((one) => !taken.includes(one)))
    expect({ status, wait: headers.get('retry-after') }).toEqual({ status: 503, wait: '1' })
  expect(await storedPoints(dataset)).toBe(taken.length * 10)
})

test('each of many small requests at once is answered for its own lines', async () => {
  const dataset = await makeDataset()
  const answers = await Promise.all(
    Array.from({ length: 30 }, (_, sender) =>
      send(dataset, [bodyOf(sender, 2), 'nonsense', sender % 3 === 0 ? bodyOf(sender, 1) : ''].join('\n')),
    ),
  )
  for (const [sender, { status, body }] of answers.entries()) {
    if (status === 503) continue
    expect(body).toMatchObject({
      inserted: 2,
      duplicates: sender % 3 === 0 ? 1 : 0,
      conflicting: 0,
      rejected: [{ line: 3 }],
      rejectedTotal: 1,
    })
  }
  expect(await storedPoints(dataset)).toBe(answers.filter(({ status }) => status === 200).length * 2)
})

test('what was taken is stored and answered while the server stops', async () => {
  const dataset = await makeDataset()
  const other = await startTestNomaly({ worker: false, beside: nomaly })
  let answers: Promise<TestAnswer[]>
  let stopped: PromiseLike<void>
  {
    await using _ = await holdUpAppends()
    answers = Promise.all(
      Array.from({ length: 20 }, (_unused, sender) => send(dataset, bodyOf(sender, 3), {}, other)),
    )
    // All are in: nothing is read after this.
    await eventually(async () => (await gauge('nomaly_ingest_held_bytes', other)) >= 20 * 16_384)
    stopped = other[Symbol.asyncDispose]()
  }
  for (const { status, body } of await answers)
    expect({ status, inserted: body.inserted }).toEqual({ status: 200, inserted: 3 })
  await stopped
  expect(await storedPoints(dataset)).toBe(60)
})
