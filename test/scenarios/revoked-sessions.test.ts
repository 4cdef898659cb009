import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, expect, test, vi } from 'vitest'
import { REVOCATION_BOUND_MS } from '../../src/sessions/session-store.ts'
import { uniform } from '../support/random.ts'
import { startTestNomaly, type TestNomaly } from '../support/nomaly.ts'
import { startTestRedis } from '../support/redis.ts'
import { TcpProxy } from '../support/tcp-proxy.ts'

const isLong = process.env['NOMALY_TEST_SCENARIOS'] === '1'
const seeds = Array.from({ length: isLong ? 50 : 3 }, (_, seed) => seed)
const PATIENCE = { timeout: 20_000, interval: 20 }
const KEYS = 4
const PER_KEY = 3

interface Browser {
  readonly cookie: string
  readonly id: string
  /** From when on it must be refused: here, where it was revoked, and on the server beside. */
  refusedFrom: { here: number; beside: number } | undefined
}

/** One answer of the load that goes on throughout. */
interface Answer {
  readonly browser: Browser
  readonly server: 'here' | 'beside'
  readonly sentMs: number
  readonly status: number
}

/** What was said of answers that should not have been. */
const failures: string[] = []

let redisServer: Awaited<ReturnType<typeof startTestRedis>>
/** What the product takes for its Redis: it leads to whichever server is the master. */
let front: TcpProxy
let here: TestNomaly
let beside: TestNomaly

beforeAll(async () => {
  redisServer = await startTestRedis()
  front = await TcpProxy.to(redisServer.url)
  const config = {
    redisUrl: front.url(redisServer.url),
    redisTimeoutMs: 500,
    // The load goes on asking with what was revoked.
    rateFailuresPerMinute: 0,
    rateReadsPerMinute: 0,
    rateWritesPerMinute: 0,
  }
  here = await startTestNomaly({ worker: false, config })
  beside = await startTestNomaly({ worker: false, config, beside: here })
})

afterAll(async () => {
  await beside?.[Symbol.asyncDispose]()
  await here?.[Symbol.asyncDispose]()
  await front?.[Symbol.asyncDispose]()
  await redisServer?.[Symbol.asyncDispose]()
})

test.for(seeds)(
  'what was revoked while replication was cut stays revoked when the replica takes over (seed %i)',
  { timeout: 120_000 },
  async (seed) => {
    const random = uniform(seed * 2_654_435_761 + 1)
    await using master = await startTestRedis()
    await using link = await TcpProxy.to(master.url)
    const { hostname, port } = new URL(link.url(master.url))
    await using replica = await startTestRedis({ arguments: ['--replicaof', hostname, port] })
    front.leadTo(master.url)
    const keys = await Promise.all(Array.from({ length: KEYS }, makeKey))
    const browsers: Browser[] = []
    for (const key of keys) for (let count = 0; count < PER_KEY; count++) browsers.push(await signIn(key.key))
    await vi.waitFor(async () => {
      expect(here.store.isRedisUp && beside.store.isRedisUp).toBe(true)
      for (const browser of browsers) expect(await me(beside, browser)).toBe(200)
      // The replica has a copy of each, so that there is something that could come back.
      expect(await countCopies(replica)).toBeGreaterThanOrEqual(browsers.length)
    }, PATIENCE)

    const answers: Answer[] = []
    const stop = new AbortController()
    const load = Array.from({ length: 4 }, (_, lane) => generateLoad(browsers, answers, lane, stop.signal))
    try {
      await sleep(random() * 200)
      link.goAway()
      await revoke(keys, browsers, random)
      await sleep(random() * 300)
      await master.kill()
      await sleep(random() * 300)
      expect(await countCopies(replica)).toBeGreaterThanOrEqual(browsers.length)
      await replica.send(['REPLICAOF', 'NO', 'ONE'])
      front.leadTo(replica.url)
      await vi.waitFor(() => expect(here.store.isRedisUp && beside.store.isRedisUp).toBe(true), PATIENCE)
      // Longer than anything is believed that was known before.
      await sleep(REVOCATION_BOUND_MS + 500)
    } finally {
      stop.abort()
      await Promise.all(load)
    }

    const revived = answers.filter(
      ({ browser, server, sentMs, status }) =>
        browser.refusedFrom !== undefined && sentMs >= browser.refusedFrom[server] && status !== 401,
    )
    expect(revived).toEqual([])
    const disturbed = answers.filter(
      ({ browser, status }) => status !== 200 && (browser.refusedFrom === undefined || status !== 401),
    )
    expect(
      disturbed.map(({ server, status }) => `${server} ${status}`),
      failures.join(),
    ).toEqual([])
    const revoked = browsers.filter(({ refusedFrom }) => refusedFrom !== undefined)
    expect(revoked.length).toBeGreaterThan(3)
    expect(revoked.length).toBeLessThan(browsers.length)
    // Also by a process that knows nothing but what the replica and PostgreSQL tell.
    await using fresh = await startTestNomaly({
      worker: false,
      beside: here,
      config: { redisUrl: replica.url },
    })
    // Having compiled everything it may say for a second that it is too busy.
    const alive = browsers.find(({ refusedFrom }) => refusedFrom === undefined)!
    await vi.waitFor(async () => expect(await me(fresh, alive)).toBe(200), PATIENCE)
    for (const browser of browsers)
      expect(await me(fresh, browser), failures.join()).toBe(browser.refusedFrom === undefined ? 200 : 401)
    if (isLong)
      process.stdout.write(
        `${JSON.stringify({ seed, answers: answers.length, revoked: revoked.length, browsers: browsers.length })}\n`,
      )
  },
)

/** Every way to revoke, in some order: one's own, one by another, all of a key, and the key itself; of the last key nothing. */
async function revoke(
  keys: readonly { readonly id: string; readonly key: string }[],
  browsers: readonly Browser[],
  random: () => number,
): Promise<void> {
  const of = (key: number): Browser[] => browsers.slice(key * PER_KEY, (key + 1) * PER_KEY)
  const own = { 'sec-fetch-site': 'same-origin' }
  const [first, second] = of(0) as [Browser, Browser]
  const ways: [Browser[], () => Promise<number>][] = [
    [[first], () => send('POST', '/v1/sign-out', { cookie: first.cookie, ...own })],
    [
      [second],
      () => send('DELETE', `/v1/sessions/${second.id}`, { authorization: `Bearer ${keys[0]!.key}` }),
    ],
    [of(1), () => send('POST', '/v1/sign-out-everywhere', { cookie: of(1)[0]!.cookie, ...own })],
    [of(2), () => send('DELETE', `/v1/keys/${keys[2]!.id}`, { authorization: `Bearer ${here.tenant.key}` })],
  ]
  const inSomeOrder = ways.map((way) => ({ way, at: random() })).toSorted((one, two) => one.at - two.at)
  for (const {
    way: [ended, act],
  } of inSomeOrder) {
    expect(await act()).toBe(204)
    const nowMs = performance.now()
    for (const browser of ended) browser.refusedFrom = { here: nowMs, beside: nowMs + REVOCATION_BOUND_MS }
    await sleep(random() * 50)
  }
}

/** Asks as one browser after the other, on both servers, and now and then writes. */
async function generateLoad(
  browsers: readonly Browser[],
  answers: Answer[],
  lane: number,
  signal: AbortSignal,
): Promise<void> {
  for (let turn = lane; !signal.aborted; turn++) {
    const browser = browsers[turn % browsers.length]!
    const server = turn % 2 === 0 ? 'here' : 'beside'
    const nomaly = server === 'here' ? here : beside
    const sentMs = performance.now()
    const status = turn % 10 === lane ? await write(nomaly, browser) : await me(nomaly, browser)
    answers.push({ browser, server, sentMs, status })
    await sleep(2)
  }
}

async function makeKey(): Promise<{ id: string; key: string }> {
  const answer = await here.request('POST', '/v1/keys', { body: { name: 'browsers', role: 'admin' } })
  return answer.body
}

async function signIn(key: string): Promise<Browser> {
  const { body } = await here.request('POST', '/v1/sign-in-links', { key })
  const { headers } = await here.request('GET', body.path, { key: '' })
  const cookie = headers.getSetCookie()[0]!.split(';')[0]!
  const mine = await here.request('GET', '/v1/sessions', { key: '', headers: { cookie } })
  const { id } = mine.body.items.find(({ current }: { current: boolean }) => current)
  return { cookie, id, refusedFrom: undefined }
}

async function me(nomaly: TestNomaly, { cookie }: Browser): Promise<number> {
  const { status, body } = await nomaly.request('GET', '/v1/me', { key: '', headers: { cookie } })
  if (status >= 500) failures.push(`${status} ${body.detail}`)
  return status
}

async function write(nomaly: TestNomaly, { cookie }: Browser): Promise<number> {
  const { status } = await nomaly.request('POST', '/v1/detectors', {
    key: '',
    headers: { cookie, 'sec-fetch-site': 'same-origin' },
    body: { name: `detector ${Math.random()}` },
  })
  return status === 201 ? 200 : status
}

async function send(method: string, path: string, headers: Record<string, string>): Promise<number> {
  return (await here.request(method, path, { key: '', headers })).status
}

async function countCopies(server: { send(command: string[]): Promise<unknown> }): Promise<number> {
  return ((await server.send(['KEYS', 'nomaly:session:*'])) as string[]).length
}
