import { setTimeout as sleep } from 'node:timers/promises'
import { expect, test, vi } from 'vitest'

import { openRedis, type Redis } from '../../src/redis/connection.ts'
import { RedisUnavailable } from '../../src/redis/unavailable.ts'
import { freePort, startTestRedis } from '../support/redis.ts'

const TIMEOUT_MS = 200
const PATIENCE = { timeout: 15_000, interval: 20 }

async function open(url: string, log: string[] = []): Promise<Redis> {
  return openRedis({
    url,
    timeoutMs: TIMEOUT_MS,
    log: (message) => log.push(message),
    clientName: 'nomaly-test',
  })
}

test('commands, scripts and errors of the server come through', async () => {
  await using server = await startTestRedis()
  await using redis = await open(server.url)
  expect(redis.isUp).toBe(true)
  expect(redis.runId).toMatch(/^[0-9a-f]{40}$/)
  expect(await redis.command((client) => client.set('a', '1'))).toBe('OK')
  expect(await redis.command((client) => client.get('a'))).toBe('1')
  const script = `return redis.call('incrby', KEYS[1], ARGV[1])`
  expect(await redis.command((client) => client.eval(script, { keys: ['a'], arguments: ['4'] }))).toBe(5)
  await expect(redis.command((client) => client.evalSha('0'.repeat(40), { keys: ['a'] }))).rejects.toThrow(
    'NOSCRIPT',
  )
  await expect(redis.command((client) => client.lPush('a', 'x'))).rejects.not.toBeInstanceOf(RedisUnavailable)
  expect(await redis.command((client) => client.get('a'))).toBe('5')
  expect(await server.send(['CLIENT', 'LIST'])).toContain('name=nomaly-test')
})

test('a work that fails by itself says nothing about Redis', async () => {
  await using server = await startTestRedis()
  await using redis = await open(server.url)
  for (let i = 0; i < 10; i++) {
    const failure = redis.command(() => Promise.reject(new TypeError('mine')))
    await expect(failure).rejects.toThrow('mine')
    const thrown = redis.command(() => {
      throw new TypeError('mine too')
    })
    await expect(thrown).rejects.toThrow('mine too')
  }
  expect(redis.isUp).toBe(true)
})

test('a caller who goes away is let go, and Redis is not blamed', async () => {
  await using server = await startTestRedis()
  await using redis = await open(server.url)
  server.freeze()
  const reason = new Error('gone')
  const abort = new AbortController()
  const waiting = redis.command((client) => client.get('a'), abort.signal)
  abort.abort(reason)
  await expect(waiting).rejects.toBe(reason)
  await expect(redis.command((client) => client.get('a'), abort.signal)).rejects.toBe(reason)
  server.thaw()
  expect(redis.isUp).toBe(true)
})

test('down at the start: opens all the same, and serves as soon as it is there', async () => {
  const port = await freePort()
  const log: string[] = []
  await using redis = await open(`redis://127.0.0.1:${port}`, log)
  const changes: boolean[] = []
  redis.onChange((isUp) => changes.push(isUp))
  expect(redis.isUp).toBe(false)
  expect(redis.runId).toBe('')
  await expect(redis.command((client) => client.get('a'))).rejects.toMatchObject({
    name: 'RedisUnavailable',
    code: 'unavailable',
    reason: 'down',
  })
  await using server = await startTestRedis({ port })
  await vi.waitFor(() => expect(redis.isUp).toBe(true), PATIENCE)
  expect(await redis.command((client) => client.ping())).toBe('PONG')
  expect(changes).toEqual([true])
  expect(log).toEqual([
    expect.stringContaining(`Redis at 127.0.0.1:${port} is away`),
    `Redis at 127.0.0.1:${port} answers again.`,
  ])
  expect(server.port).toBe(port)
})

test('killed and started again: refused at once meanwhile, and another run id afterwards', async () => {
  await using server = await startTestRedis()
  const log: string[] = []
  await using redis = await open(server.url, log)
  const before = redis.runId
  await redis.command((client) => client.set('a', '1'))
  await server.kill()
  await vi.waitFor(() => expect(redis.isUp).toBe(false), PATIENCE)
  expect(redis.runId).toBe('')
  await expect(redis.command((client) => client.get('a'))).rejects.toBeInstanceOf(RedisUnavailable)
  await server.launch()
  await vi.waitFor(() => expect(redis.isUp).toBe(true), PATIENCE)
  expect(redis.runId).toMatch(/^[0-9a-f]{40}$/)
  expect(redis.runId).not.toBe(before)
  expect(await redis.command((client) => client.get('a'))).toBeNull()
  expect(log).toHaveLength(2)
})

test('what was sent when the server was killed is refused, not left hanging', async () => {
  await using server = await startTestRedis()
  await using redis = await open(server.url)
  server.freeze()
  const settled = Promise.allSettled(
    Array.from({ length: 20 }, () => redis.command((client) => client.get('a'))),
  )
  await server.kill()
  const results = await settled
  expect(
    results.every((result) => result.status === 'rejected' && result.reason instanceof RedisUnavailable),
  ).toBe(true)
})

test('frozen: a handful of calls wait, no longer than the timeout, and no other call waits until it answers again', async () => {
  await using server = await startTestRedis()
  const log: string[] = []
  await using redis = await open(server.url, log)
  await redis.command((client) => client.set('a', '1'))
  server.freeze()
  let waited = 0
  for (let i = 0; i < 200; i++) {
    const startedAt = performance.now()
    await expect(redis.command((client) => client.get('a'))).rejects.toBeInstanceOf(RedisUnavailable)
    const ms = performance.now() - startedAt
    if (ms >= TIMEOUT_MS) waited++
    await sleep(5)
  }
  expect(waited).toBeGreaterThan(0)
  expect(waited).toBeLessThanOrEqual(3)
  expect(redis.isUp).toBe(false)
  server.thaw()
  await vi.waitFor(() => expect(redis.isUp).toBe(true), PATIENCE)
  // The answers that came too late went to those who had asked.
  expect(await redis.command((client) => client.get('a'))).toBe('1')
  expect(log).toHaveLength(2)
})

test('frozen under many callers: all that wait are let go together', async () => {
  await using server = await startTestRedis()
  await using redis = await open(server.url)
  server.freeze()
  const seen: { reason: string; ms: number }[] = []
  const callers = Array.from({ length: 300 }, async (_unused, index) => {
    await sleep(2 * index)
    const startedAt = performance.now()
    await redis
      .command((client) => client.get('a'))
      .catch(({ reason }: RedisUnavailable) => seen.push({ reason, ms: performance.now() - startedAt }))
  })
  await Promise.all(callers)
  expect(seen).toHaveLength(300)
  // Who came within the first timeout may be told that it was done or not; nobody after them waits.
  const slow = seen.filter(({ reason }) => reason === 'slow')
  expect(slow.length).toBeGreaterThanOrEqual(3)
  expect(seen.lastIndexOf(slow.at(-1)!)).toBeLessThan(250)
  expect(seen.slice(250).map(({ reason }) => reason)).toEqual(Array(50).fill('down'))
})

test('full: writes fail, reads go on, and it is not called away', async () => {
  await using server = await startTestRedis({
    arguments: ['--maxmemory', '3mb', '--maxmemory-policy', 'noeviction'],
  })
  await using redis = await open(server.url)
  await redis.command((client) => client.set('small', 'here'))
  let refused = 0
  for (let i = 0; i < 40; i++)
    await redis
      .command((client) => client.set(`big-${i}`, 'x'.repeat(200_000)))
      .catch((error: RedisUnavailable) => {
        expect(error).toMatchObject({ name: 'RedisUnavailable', reason: 'full' })
        refused++
      })
  expect(refused).toBeGreaterThan(10)
  expect(await redis.command((client) => client.get('small'))).toBe('here')
  expect(redis.isUp).toBe(true)
})

test('several installations share one Redis by their prefixes', async () => {
  await using server = await startTestRedis()
  await using one = await open(server.url)
  await using two = await open(server.url)
  await one.command((client) => client.set('one:key', 'of one'))
  await two.command((client) => client.set('two:key', 'of two'))
  expect(await one.command((client) => client.get('one:key'))).toBe('of one')
  expect(one.runId).toBe(two.runId)
})

test('ends without waiting for a server that is away or frozen', async () => {
  const away = await open(`redis://127.0.0.1:${await freePort()}`)
  await away[Symbol.asyncDispose]()
  await using server = await startTestRedis()
  const frozen = await open(server.url)
  server.freeze()
  const refused = expect(frozen.command((client) => client.get('a'))).rejects.toBeInstanceOf(RedisUnavailable)
  await frozen[Symbol.asyncDispose]()
  await refused
  await expect(frozen.command((client) => client.get('a'))).rejects.toBeInstanceOf(RedisUnavailable)
})
