import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest'
import { RedisRateCounter } from '../../src/limits/redis-rate-counter.ts'
import { openRedis, type Redis } from '../../src/redis/connection.ts'
import { describeRateCounter } from '../conformance/rate-counter.ts'
import { startTestCluster } from '../support/redis-cluster.ts'
import { startSuiteRedis, startTestRedis } from '../support/redis.ts'

const stack = new AsyncDisposableStack()
let suite: { url: string; prefix: string }
let away: Redis

beforeAll(async () => {
  suite = stack.use(await startSuiteRedis())
  away = stack.use(await openRedis({ ...SETTINGS, url: 'redis://127.0.0.1:1' }))
})

afterAll(() => stack.disposeAsync())

const SETTINGS = { timeoutMs: 1_000, log: () => {}, clientName: 'nomaly-test' }

async function open(url: string, prefix = 'nomaly-test:', timeoutMs = 1_000): Promise<RedisRateCounter> {
  const redis = await openRedis({ ...SETTINGS, timeoutMs, url })
  onTestFinished(() => redis[Symbol.asyncDispose]())
  return new RedisRateCounter({ redis, prefix })
}

describeRateCounter('redis', () => open(suite.url, suite.prefix))
describeRateCounter(
  'memory, while its redis is away',
  async () => new RedisRateCounter({ redis: away, prefix: 'x:' }),
)

describe('a rate counter in redis', () => {
  it('counts together with others of its prefix, and apart from those of another one', async () => {
    const [a, b, c] = [
      await open(suite.url, suite.prefix),
      await open(suite.url, suite.prefix),
      await open(suite.url, `${suite.prefix}other:`),
    ]
    expect([(await a.count('k')).used, (await b.count('k')).used, (await c.count('k')).used]).toEqual([
      1, 2, 1,
    ])
  })

  it('leaves nothing behind that does not expire', async () => {
    await using redis = await startTestRedis()
    const counter = await open(redis.url)
    for (let at = 0; at < 20; at += 1) await counter.count(`key ${at % 5}`)
    const keys = (await redis.send(['KEYS', '*'])) as string[]
    expect(keys).toHaveLength(5)
    for (const key of keys) {
      expect(key).toMatch(/^nomaly-test:rate:/)
      expect(await redis.send(['PTTL', key])).toBeGreaterThan(0)
    }
  })

  it('counts by itself where Redis is full, and where somebody else has put something in its place', async () => {
    await using redis = await startTestRedis({
      arguments: ['--maxmemory', '1', '--maxmemory-policy', 'noeviction'],
    })
    const counter = await open(redis.url)
    expect([(await counter.count('k')).used, (await counter.count('k')).used]).toEqual([1, 2])
    await redis.send(['CONFIG', 'SET', 'maxmemory', '0'])
    await redis.send(['RPUSH', 'nomaly-test:rate:list', 'x'])
    expect([(await counter.count('list')).used, (await counter.count('list')).used]).toEqual([1, 2])
  })

  it('waits for a Redis that hangs a few times, and then no more', async () => {
    await using redis = await startTestRedis()
    const counter = await open(redis.url, 'nomaly-test:', 100)
    await counter.count('k')
    redis.freeze()
    for (let at = 0; at < 10; at += 1) await counter.count('k')
    const before = performance.now()
    for (let at = 0; at < 100; at += 1) await counter.count('k')
    // Not a measurement: a hundred timeouts would be ten seconds.
    expect(performance.now() - before).toBeLessThan(5_000)
    redis.thaw()
  })

  it('works in a Cluster', async () => {
    await using cluster = await startTestCluster(3)
    const counter = await open(cluster.url)
    for (const key of ['a', 'b', 'c', 'd'])
      expect([(await counter.count(key)).used, (await counter.count(key)).used]).toEqual([1, 2])
  })
})
