import { randomUUID } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import fc from 'fast-check'
import { Type } from 'typebox'
import { expect, onTestFinished, test, vi } from 'vitest'
import { DEFAULT_CACHE_LIMITS } from '../../src/cache/kept-values.ts'
import { ReadThrough } from '../../src/cache/read-through.ts'
import { CACHE_SCRIPTS } from '../../src/cache/redis-cache-scripts.ts'
import { RedisCache } from '../../src/cache/redis-cache.ts'
import { openRedis, type Redis } from '../../src/redis/connection.ts'
import { at } from '../conformance/cache-store.ts'
import { describeCache } from '../conformance/cache.ts'
import { startSuiteRedis, startTestRedis, type TestRedis } from '../support/redis.ts'
import { startTestCluster } from '../support/redis-cluster.ts'
import { MODEL_SCRIPTS, type ModelKeys } from './model-scripts.ts'

const PATIENCE = { timeout: 15_000, interval: 20 }

function connect(url: string, timeoutMs = 500): Promise<Redis> {
  return openRedis({ url, timeoutMs, log: () => {}, clientName: 'nomaly-test' })
}

/** A process: a connection of its own, and what it reads through it. */
async function openProcess(
  url: string,
  prefix = 'n:',
): Promise<{ redis: Redis; store: RedisCache; cache: ReadThrough }> {
  const redis = await connect(url)
  onTestFinished(() => redis[Symbol.asyncDispose]())
  const store = new RedisCache({
    redis,
    prefix,
    tracking: redis.track({ maxEntries: 1_000 }),
    noticeBoundMs: 3_000,
  })
  const cache = new ReadThrough({
    store,
    position: async () => at(1),
    limits: DEFAULT_CACHE_LIMITS,
    now: Date.now,
    random: Math.random,
    sleep: (ms, signal) => sleep(ms, undefined, { signal: signal! }).catch(() => {}),
  })
  onTestFinished(() => cache[Symbol.asyncDispose]())
  return { redis, store, cache }
}

async function makeFixture(server: { url: string; prefix?: string } & AsyncDisposable) {
  await using stack = new AsyncDisposableStack()
  stack.use(server)
  const resources = stack.move()
  return {
    open: async () => {
      const redis = resources.use(await connect(server.url, 2_000))
      const tracking = redis.track({ maxEntries: 1_000 })
      await vi.waitFor(() => tracking.read((client) => client.get('is it up')), PATIENCE)
      return resources.use(
        new RedisCache({ redis, prefix: server.prefix ?? 'n:', tracking, noticeBoundMs: 3_000 }),
      )
    },
    [Symbol.asyncDispose]: () => resources.disposeAsync(),
  }
}

describeCache('redis', async () => makeFixture(await startSuiteRedis()))
describeCache('redis cluster', async () => makeFixture(await startTestCluster(3)))

/** A value that is counted up each time it is loaded. */
function counter(freshness: 'latest' | { maxLagMs: number } = 'latest') {
  const state = { loads: 0 }
  return {
    state,
    key: 'counter',
    tags: ['a'],
    schema: Type.Integer(),
    freshness,
    load: async () => ++state.loads,
  }
}

test('the scripts do on a server what the model of the harness says', async () => {
  await using server = await startTestRedis()
  await using redis = await connect(server.url, 5_000)
  const keys = ['gen', 'f1', 'f2']
  const replicationId = /master_replid:(\w+)/.exec(String(await server.send(['INFO', 'replication'])))![1]!
  const random = fc.constantFrom('g1', 'g2')
  const text = fc.oneof(
    fc.constantFrom(
      'g1|?|t1',
      'g2|?|t2',
      'g1|7.1.000000000000000A|n1',
      'g2|7.2.0000000000000001|n2',
      'damaged',
    ),
    fc
      .tuple(random, fc.constantFrom('7.1.', '7.2.', '17.1.'), fc.nat(30))
      .map(([g, server_, lsn]) => `${g}|${server_}${lsn.toString(16).toUpperCase().padStart(16, '0')}|n`),
  )
  const call = fc.oneof(
    fc.record({
      name: fc.constant('claim' as const),
      keys: fc.constant(keys),
      values: fc.tuple(
        fc.constantFrom('r1', 'r2'),
        random,
        fc.constantFrom('new', 'proven', 'any'),
        fc.constantFrom('t1', 't3'),
        fc.constant('60000'),
        fc.constant('60000'),
      ),
    }),
    fc.record({
      name: fc.constant('fix' as const),
      keys: fc.constant(keys),
      values: fc.tuple(
        fc.constantFrom('g1|old@r1', `g2|${replicationId}@r2`),
        fc.constant('60000'),
        text,
        text,
        text,
        text,
      ),
    }),
    fc.record({
      name: fc.constant('raise' as const),
      keys: fc.constant(keys.slice(1)),
      values: fc.tuple(
        fc.constantFrom('7.1.0000000000000005', '7.2.0000000000000010'),
        fc.constant('60000'),
        fc.constant('m1'),
        fc.constant('m2'),
      ),
    }),
    fc.record({ name: fc.constant('release' as const), keys: fc.constant(['f1']), values: fc.tuple(text) }),
  )
  const start = fc.record({
    gen: fc.option(fc.constantFrom('g1|old@r1', `g2|${replicationId}@r2`)),
    f1: fc.option(text),
    f2: fc.option(text),
  })
  await fc.assert(
    fc.asyncProperty(start, fc.array(call, { maxLength: 6 }), async (before, calls) => {
      const model: ModelKeys = new Map()
      await redis.command((client) => client.del(keys))
      for (const [key, value] of Object.entries(before)) {
        if (value === null) continue
        model.set(key, { value, untilMs: Infinity })
        await redis.command((client) => client.set(key, value))
      }
      for (const { name, keys: touched, values } of calls) {
        const said = MODEL_SCRIPTS[name](model, touched, values, 0, replicationId)
        const options = { keys: [...touched], arguments: [...values] }
        expect(await redis.command((client) => client.eval(CACHE_SCRIPTS[name].text, options))).toEqual(said)
        const held = await redis.command((client) => client.mGet(keys))
        expect(held).toEqual(keys.map((key) => model.get(key)?.value ?? null))
      }
    }),
    { numRuns: 150 },
  )
})

test('flushed by somebody else: everything is read again, under a new generation', async () => {
  await using server = await startTestRedis()
  const { cache, store } = await openProcess(server.url)
  const wanted = counter()
  const scope = { tenantId: 't' }
  expect(await cache.read(scope, wanted)).toBe(1)
  const { generation } = await store.look(scope, ['a'], undefined)
  await server.flush()
  expect(await cache.read(scope, wanted)).toBe(2)
  expect((await store.look(scope, ['a'], undefined)).generation).not.toBe(generation)
})

test('a server that was a replica meanwhile has nothing that a new process believes', async () => {
  await using server = await startTestRedis()
  const wanted = counter()
  const scope = { tenantId: 't' }
  const before = await openProcess(server.url)
  expect(await before.cache.read(scope, wanted)).toBe(1)
  expect(await (await openProcess(server.url)).cache.read(scope, wanted)).toBe(1)
  // While another one was the master, floors may have been raised there. Nothing is heard of it here, and the run id is what it was.
  await server.send(['REPLICAOF', '127.0.0.1', '1'])
  await server.send(['REPLICAOF', 'NO', 'ONE'])
  expect(await (await openProcess(server.url)).cache.read(scope, wanted)).toBe(2)
})

test('killed in the middle: reads go on, and nothing that it had counts when it is back', async () => {
  await using server = await startTestRedis({ arguments: ['--appendonly', 'yes', '--appendfsync', 'always'] })
  const [one, two] = [await openProcess(server.url), await openProcess(server.url)]
  const wanted = counter()
  const scope = { tenantId: 't' }
  await one.cache.read(scope, wanted)
  await server.kill()
  for (let reads = 0; reads < 20; reads++) await two.cache.read(scope, wanted)
  expect(wanted.state.loads).toBe(21)
  // Acknowledged, although nobody could be told.
  await one.cache.raise(scope, ['a'], at(100))
  await server.launch()
  await vi.waitFor(() => expect(two.redis.isUp && one.redis.isUp).toBe(true), PATIENCE)
  const loads = wanted.state.loads
  expect(await two.cache.read(scope, wanted)).toBeGreaterThan(loads)
  await vi.waitFor(async () => {
    const before = wanted.state.loads
    await one.cache.read(scope, wanted)
    await one.cache.read(scope, wanted)
    expect(wanted.state.loads).toBe(before)
  }, PATIENCE)
})

test('frozen for a while: reads go past it at once, and what was not raised meanwhile is not believed', async () => {
  await using server = await startTestRedis()
  const [one, two] = [await openProcess(server.url), await openProcess(server.url)]
  const wanted = counter()
  const scope = { tenantId: 't' }
  await one.cache.read(scope, wanted)
  server.freeze()
  await Promise.all([1, 2, 3, 4].map(() => one.cache.read(scope, wanted)))
  await one.cache.raise(scope, ['a'], at(100))
  expect(one.redis.isUp).toBe(false)
  await vi.waitFor(() => expect(two.redis.isUp).toBe(false), PATIENCE)
  server.thaw()
  await vi.waitFor(() => expect(two.redis.isUp).toBe(true), PATIENCE)
  const loads = wanted.state.loads
  expect(await two.cache.read(scope, wanted)).toBeGreaterThan(loads)
})

test('full: floors are raised all the same, and reads go on', async () => {
  await using server = await startTestRedis({ arguments: ['--maxmemory-policy', 'noeviction'] })
  const { cache, redis } = await openProcess(server.url)
  const wanted = counter()
  const scope = { tenantId: 't' }
  expect(await cache.read(scope, wanted)).toBe(1)
  await server.send(['CONFIG', 'SET', 'maxmemory', '1mb'])
  await expect(redis.command((client) => client.set('x', 'x'))).rejects.toMatchObject({ reason: 'full' })
  expect(await cache.read(scope, wanted)).toBe(1)
  await cache.raise(scope, ['a'], at(100))
  expect(await cache.read(scope, wanted)).toBe(2)
  expect(await cache.read({ tenantId: 'new' }, wanted)).toBe(3)
})

test('evicting what it likes: nothing that a commit replaced is served', async () => {
  await using server: TestRedis = await startTestRedis({
    arguments: ['--maxmemory', '2mb', '--maxmemory-policy', 'allkeys-random'],
  })
  const { cache } = await openProcess(server.url)
  const scope = { tenantId: 't' }
  const values = new Map<string, number>()
  const read = async (tag: string): Promise<number | undefined> => {
    const answer = await cache.read(scope, {
      key: tag,
      tags: [tag],
      schema: Type.Object({ value: Type.Integer(), filler: Type.String() }),
      freshness: 'latest',
      load: async () => ({
        value: values.get(tag) ?? 0,
        filler: Array.from({ length: 100 }, () => randomUUID()).join(''),
      }),
    })
    return answer?.value
  }
  for (let commit = 1; commit <= 1_500; commit++) {
    const tag = `t${commit % 300}`
    values.set(tag, commit)
    await cache.raise(scope, [tag], at(commit))
    expect(await read(tag)).toBe(commit)
    const other = `t${(commit * 7) % 300}`
    expect(await read(other)).toBe(values.get(other) ?? 0)
  }
  expect(String(await server.send(['INFO', 'stats']))).not.toContain('evicted_keys:0\r')
})

test('values of this process serve without a round trip until a commit anywhere replaces them', async () => {
  await using server = await startTestRedis()
  const [one, two] = [await openProcess(server.url), await openProcess(server.url)]
  const wanted = counter({ maxLagMs: 5_000 })
  const scope = { tenantId: 't' }
  await one.cache.read(scope, { ...wanted, freshness: 'latest' })
  await vi.waitFor(async () => {
    const { local } = one.cache.counts
    await one.cache.read(scope, wanted)
    expect(one.cache.counts.local).toBe(local + 1)
  })
  await two.cache.raise(scope, ['a'], at(100))
  // By its age alone it would do for five seconds.
  await vi.waitFor(async () => {
    const seen = await one.cache.read(scope, { ...wanted, freshness: { maxLagMs: 4_000 } })
    expect(seen).toBe(1)
  })
  expect(await one.cache.read(scope, { ...wanted, freshness: 'latest' })).toBe(2)
})
