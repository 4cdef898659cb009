import { afterAll, beforeAll, expect, test } from 'vitest'
import { startTestRedis, type TestRedis } from '../support/redis.ts'
import { look, verdicts } from './look.ts'

let redis: TestRedis

beforeAll(async () => {
  redis = await startTestRedis()
})

afterAll(() => redis?.[Symbol.asyncDispose]())

async function said(...checks: string[]): Promise<string[]> {
  const reports = await look(checks, { REDIS_URL: redis.url })
  return verdicts(reports.filter(({ check }) => check.startsWith('redis-')))
}

async function configure(settings: Record<string, string>): Promise<void> {
  await redis.send(['CONFIG', 'SET', ...Object.entries(settings).flat()])
}

test('a Redis as the guide wants it is well', async () => {
  await configure({ maxmemory: '100mb', 'maxmemory-policy': 'volatile-lru' })
  expect(await said('redis-reach', 'redis-memory', 'redis-persistence')).toEqual([
    expect.stringMatching(/^redis-reach ok: (Redis|Valkey) \d+\.\d+\.\d+ answers within [\d.]+ ms\.$/),
    expect.stringMatching(/^redis-memory ok: .* of 100 MB are used, maxmemory-policy volatile-lru\.$/),
    'redis-persistence ok: It keeps no append-only file; none is needed.',
  ])
})

test.each([
  [{ maxmemory: '0', 'maxmemory-policy': 'volatile-lru' }, ['maxmemory is not set.']],
  [{ maxmemory: '100mb', 'maxmemory-policy': 'allkeys-lru' }, ['maxmemory-policy is allkeys-lru.']],
  [{ maxmemory: '100mb', 'maxmemory-policy': 'noeviction' }, ['maxmemory-policy is noeviction.']],
  [{ maxmemory: '100mb', 'maxmemory-policy': 'volatile-random' }, ['maxmemory-policy is volatile-random.']],
  [{ maxmemory: '0', 'maxmemory-policy': 'noeviction' }, ['maxmemory is not set.']],
])('warns of %j', async (settings, expected) => {
  await configure(settings)
  expect(await said('redis-memory')).toEqual(expected.map((text) => `redis-memory warn: ${text}`))
})

test('warns of one that is all but full and evicts nothing', async () => {
  await configure({ maxmemory: '100mb', 'maxmemory-policy': 'noeviction' })
  await redis.send(['SET', 'filler', 'x'.repeat(20_000_000)])
  await configure({ maxmemory: '20mb' })
  expect(await said('redis-memory')).toEqual([
    'redis-memory warn: maxmemory-policy is noeviction.',
    expect.stringMatching(/are used, and nothing is evicted\.$/),
  ])
  await redis.flush()
})

test('fails on a replica, which takes no writes, and on one that cannot save', async () => {
  await redis.send(['REPLICAOF', '127.0.0.1', '1'])
  expect(await said('redis-persistence')).toEqual([
    'redis-persistence fail: It is a replica, which takes no writes.',
  ])
  await redis.send(['REPLICAOF', 'NO', 'ONE'])
  // Where it may not write: saving fails.
  await using broken = await startTestRedis({ arguments: ['--dir', '/proc', '--dbfilename', 'dump.rdb'] })
  await broken.send(['SET', 'a', '1'])
  await broken.send(['BGSAVE'])
  await expect
    .poll(async () => verdicts(await look(['redis-persistence'], { REDIS_URL: broken.url })))
    .toContain('redis-persistence fail: It cannot save to its disk.')
})

test('says that one does not answer, without its password', async () => {
  const [none] = (await look(['redis-reach'], { REDIS_URL: 'redis://user:very-secret@127.0.0.1:1' })).filter(
    ({ check }) => check === 'redis-reach',
  )
  expect(none).toMatchObject({
    verdict: 'fail',
    subject: 'redis',
    todo: expect.stringContaining('REDIS_URL'),
  })
  expect(JSON.stringify(none)).not.toContain('very-secret')
})

test('warns of answers that take long against the limit', async () => {
  const reports = await look(['redis-reach'], { REDIS_URL: redis.url, NOMALY_REDIS_TIMEOUT_MS: '10' })
  const quick = reports.find(({ check }) => check === 'redis-reach')
  // A fifth of ten milliseconds is reached by some machines and not by others: what it says must fit what it measured.
  const { answeredInMs } = quick!.facts as { answeredInMs: number }
  expect(quick!.verdict).toBe(answeredInMs < 2 ? 'ok' : 'warn')
})
