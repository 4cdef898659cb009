import { createHmac, timingSafeEqual } from 'node:crypto'
import { createServer, type IncomingHttpHeaders, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest'
import { eventually, startTestNomaly, type TestAnswer, type TestNomaly } from '../support/nomaly.ts'

interface ReceivedCall {
  readonly headers: IncomingHttpHeaders
  readonly body: string
  readonly at: number
}

const START = 1_767_225_600_000

let nomaly: TestNomaly
let server: Server
let url: string
let received: ReceivedCall[] = []
/** What the receiver says to the next calls; then it takes everything. */
let answers: number[] = []

beforeAll(async () => {
  nomaly = await startTestNomaly({ config: { webhookPrivateAddresses: 'allow' } })
  server = createServer((request, response) => {
    const chunks: Buffer[] = []
    request.on('data', (chunk: Buffer) => chunks.push(chunk))
    request.on('end', () => {
      received.push({ headers: request.headers, body: Buffer.concat(chunks).toString(), at: Date.now() })
      response.writeHead(answers.shift() ?? 204, { location: 'http://169.254.169.254/' }).end()
    })
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/hook?a=b`
})

afterAll(async () => {
  server.closeAllConnections()
  await new Promise((resolve) => server.close(resolve))
  await nomaly[Symbol.asyncDispose]()
})

beforeEach(() => {
  received = []
  answers = []
})

test('the webhook is set, shown without its secret, tested and removed', async () => {
  const set = await setWebhook(url)
  expect(set.body).toEqual({ url, secret: expect.stringMatching(/^whsec_[A-Za-z0-9+/]{43}=$/) })
  expect((await nomaly.request('GET', '/v1/webhook')).body).toEqual({ url })
  const tested = await nomaly.request('POST', '/v1/webhook/test')
  expect([tested.status, tested.body]).toEqual([200, { delivered: true }])
  expect(received).toHaveLength(1)
  expect(verify(received[0]!, set.body.secret)).toMatchObject({ type: 'webhook.test', data: {} })

  const again = await setWebhook(url)
  expect(again.body.secret).not.toBe(set.body.secret)
  await nomaly.request('POST', '/v1/webhook/test')
  expect(() => verify(received[1]!, set.body.secret)).toThrow('signature')
  verify(received[1]!, again.body.secret)

  expect((await nomaly.request('DELETE', '/v1/webhook')).status).toBe(204)
  expect((await nomaly.request('GET', '/v1/webhook')).body).toBeNull()
  expect((await nomaly.request('POST', '/v1/webhook/test')).status).toBe(409)
  expect(JSON.stringify((await nomaly.request('GET', '/v1/audit')).body)).not.toContain('whsec_')
})

test(
  'each new finding is told once, signed; what changes in it later is not',
  { timeout: 60_000 },
  async () => {
    const { secret } = (await setWebhook(url)).body
    await addPoints('shop', 3, 0, 1_000)
    const { body: job } = await nomaly.request('POST', '/v1/jobs', {
      body: { dataset: 'shop', schedule: { kind: 'streaming' } },
    })
    await eventually(async () => received.length >= 3)
    const { items } = (await nomaly.request('GET', `/v1/anomalies?jobId=${job.id}`)).body
    expect(items).toHaveLength(3)
    const told = received.map((call) => verify(call, secret))
    for (const message of told) {
      expect(message.type).toBe('anomaly.opened')
      const anomaly = items.find(({ id }: { id: string }) => id === message.data.id)
      expect(message.data).toMatchObject({
        id: anomaly.id,
        jobId: job.id,
        metric: anomaly.metric,
        severity: anomaly.severity,
      })
      expect(message.timestamp).toBe(anomaly.createdAt)
    }
    expect(new Set(told.map(({ data }) => data.id)).size).toBe(3)
    expect(new Set(received.map(({ headers }) => headers['webhook-id'])).size).toBe(3)

    // Somebody's word on it, points that change nothing, a second run of another job over the same: only what is new is told.
    await nomaly.request('POST', `/v1/anomalies/${items[0].id}/acknowledge`)
    await addPoints('shop', 3, 1_000, 1_100)
    await addPoints('witness', 1, 0, 1_000)
    await nomaly.request('POST', '/v1/jobs', { body: { dataset: 'witness', schedule: { kind: 'once' } } })
    await eventually(async () => received.length >= 4)
    expect(received).toHaveLength(4)
    expect(verify(received[3]!, secret).data.datasetName).toBe('witness')
  },
)

test(
  'a call that fails is repeated with the same id and a new signature, until it is taken',
  { timeout: 60_000 },
  async () => {
    const { secret } = (await setWebhook(url)).body
    answers = [500, 302]
    await addPoints('flaky', 1, 0, 1_000)
    await nomaly.request('POST', '/v1/jobs', { body: { dataset: 'flaky', schedule: { kind: 'once' } } })
    await eventually(async () => received.length >= 3, 50_000)
    const messages = received.map((call) => verify(call, secret))
    expect(new Set(received.map(({ headers }) => headers['webhook-id'])).size).toBe(1)
    expect(new Set(messages.map(({ data }) => data.id)).size).toBe(1)
    expect(received[1]!.at - received[0]!.at).toBeGreaterThan(500)
    expect(received[1]!.headers['webhook-timestamp']).not.toBe(received[0]!.headers['webhook-timestamp'])
    // Taken: nothing more comes.
    await new Promise((resolve) => setTimeout(resolve, 1_500))
    expect(received).toHaveLength(3)
  },
)

test('a receiver that is down, refuses or leads elsewhere is reported by the test call', async () => {
  await setWebhook('http://127.0.0.1:1/')
  const down = await nomaly.request('POST', '/v1/webhook/test')
  expect(down.body).toMatchObject({ status: 409, hint: expect.stringContaining('receiver') })
  await setWebhook(url)
  answers = [500, 302]
  expect((await nomaly.request('POST', '/v1/webhook/test')).body.detail).toContain('500')
  // A redirect is not followed: it could lead to an address that was not checked.
  expect((await nomaly.request('POST', '/v1/webhook/test')).status).toBe(409)
  expect(received).toHaveLength(2)
})

test.each([
  'http://169.254.169.254/latest/meta-data/',
  'http://169.254.1.1:8080/',
  'http://2852039166/',
  'http://0xa9.0xfe.0xa9.0xfe/',
  'http://0251.0376.0251.0376/',
  'http://[fe80::1]/',
  'http://[::ffff:169.254.169.254]/',
  'http://[::ffff:a9fe:a9fe]/',
  'http://[fd00:ec2::254]/',
  'http://[64:ff9b::a9fe:a9fe]/',
])('a link-local address is never called, however it is written: %s', async (address) => {
  const set = await setWebhook(address)
  if (set.status === 400) {
    expect(set.body.errors[0].field).toBe('url')
    return
  }
  const tested = await nomaly.request('POST', '/v1/webhook/test')
  expect(tested.body).toMatchObject({ status: 403, detail: expect.stringContaining('not called') })
})

test('where private addresses are refused, none is called', async () => {
  await using strict = await startTestNomaly({ worker: false, config: { webhookPrivateAddresses: 'refuse' } })
  for (const address of [
    url,
    url.replace('127.0.0.1', 'localhost'),
    url.replace('127.0.0.1', '[::ffff:127.0.0.1]'),
    'http://10.0.0.1/',
    'http://172.16.0.1/',
    'http://192.168.1.1/',
    'http://100.64.0.1/',
    'http://0.0.0.0/',
    'http://[::]/',
    'http://[::1]/',
    'http://[fc00::1]/',
  ]) {
    const set = await strict.request('PUT', '/v1/webhook', { body: { url: address } })
    if (set.status === 400) continue
    const tested = await strict.request('POST', '/v1/webhook/test')
    expect(tested.body, address).toMatchObject({
      status: 403,
      hint: expect.stringContaining('NOMALY_WEBHOOK_PRIVATE_ADDRESSES'),
    })
  }
  expect(received).toEqual([])
})

test.each([
  '',
  'x',
  'ftp://example.org/',
  'javascript:alert(1)',
  'file:///etc/passwd',
  'http://',
  'http://user:pw@example.org/',
  '//example.org',
])('what is no address of a web server is refused: %j', async (address) => {
  const before = (await nomaly.request('GET', '/v1/webhook')).body
  const { status, body } = await setWebhook(address)
  expect(status).toBe(400)
  expect(body.errors[0].field).toBe('url')
  expect((await nomaly.request('GET', '/v1/webhook')).body).toEqual(before)
})

function setWebhook(address: string): Promise<TestAnswer> {
  return nomaly.request('PUT', '/v1/webhook', { body: { url: address } })
}

/** The message of a call, checked as a receiver does after the Standard Webhooks specification 1.0. */
function verify({ headers, body, at }: ReceivedCall, secret: string): TestAnswer['body'] {
  const id = String(headers['webhook-id'])
  const timestamp = String(headers['webhook-timestamp'])
  if (Math.abs(Number(timestamp) * 1000 - at) > 30_000)
    throw new Error(`the timestamp ${timestamp} is not of now`)
  const key = Buffer.from(secret.slice('whsec_'.length), 'base64')
  const expected = createHmac('sha256', key).update(`${id}.${timestamp}.${body}`).digest()
  const given = String(headers['webhook-signature'])
    .split(' ')
    .filter((signature) => signature.startsWith('v1,'))
    .map((signature) => Buffer.from(signature.slice(3), 'base64'))
  if (
    !given.some((signature) => signature.length === expected.length && timingSafeEqual(signature, expected))
  )
    throw new Error('the signature does not fit')
  expect(headers['content-type']).toBe('application/json')
  return JSON.parse(body)
}

/** Points of some series in a dataset, made where it is missing; each has one spike. */
async function addPoints(dataset: string, series: number, from: number, to: number): Promise<void> {
  await nomaly.request('POST', '/v1/datasets', { body: { name: dataset } })
  const points = Array.from({ length: series }, (_, s) =>
    Array.from({ length: to - from }, (__, i) => ({
      time: START + (from + i) * 60_000,
      metric: `metric-${s}`,
      value: from + i === 900 ? 1_000 : 100 + (((from + i) * 7919) % 13),
    })),
  ).flat()
  const { status } = await nomaly.request('POST', `/v1/datasets/${dataset}/points`, { body: points })
  expect(status).toBe(200)
}
