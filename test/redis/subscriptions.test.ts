import { setTimeout as sleep } from 'node:timers/promises'
import { expect, test, vi } from 'vitest'

import { openRedis, type Redis } from '../../src/redis/connection.ts'
import { RedisUnavailable } from '../../src/redis/unavailable.ts'
import { freePort, startTestRedis } from '../support/redis.ts'

const PATIENCE = { timeout: 15_000, interval: 20 }

async function open(url: string, log: string[] = []): Promise<Redis> {
  return openRedis({ url, timeoutMs: 200, log: (message) => log.push(message), clientName: 'nomaly-test' })
}

test('hears what is published, in order, each listener its channel, until it stops', async () => {
  await using server = await startTestRedis()
  await using redis = await open(server.url)
  const heard: string[] = []
  let gaps = 0
  const stop = await redis.subscribe(
    'a',
    (message) => heard.push(`one ${message}`),
    () => gaps++,
  )
  await redis.subscribe(
    'a',
    (message) => heard.push(`two ${message}`),
    () => gaps++,
  )
  await redis.subscribe(
    'b',
    (message) => heard.push(`b ${message}`),
    () => gaps++,
  )
  for (const message of ['1', '2', '3']) await redis.command((client) => client.publish('a', message))
  await redis.command((client) => client.publish('b', '4'))
  await vi.waitFor(() => expect(heard).toHaveLength(7), PATIENCE)
  expect(heard.filter((line) => line.startsWith('one'))).toEqual(['one 1', 'one 2', 'one 3'])
  expect(heard.filter((line) => line.startsWith('two'))).toEqual(['two 1', 'two 2', 'two 3'])
  await stop()
  await redis.command((client) => client.publish('a', '5'))
  await vi.waitFor(() => expect(heard.at(-1)).toBe('two 5'), PATIENCE)
  expect(heard).not.toContain('one 5')
  expect(gaps).toBe(0)
})

test('says that there was a gap after the server was away, once, and hears again', async () => {
  await using server = await startTestRedis()
  await using redis = await open(server.url)
  const heard: string[] = []
  let gaps = 0
  await redis.subscribe(
    'a',
    (message) => heard.push(message),
    () => gaps++,
  )
  await server.restart()
  await vi.waitFor(() => expect(gaps).toBe(1), PATIENCE)
  // When the gap is told, what follows is heard.
  await server.send(['PUBLISH', 'a', 'after'])
  await vi.waitFor(() => expect(heard).toEqual(['after']), PATIENCE)
  await server.send(['CLIENT', 'KILL', 'TYPE', 'pubsub'])
  await vi.waitFor(() => expect(gaps).toBe(2), PATIENCE)
  await server.send(['PUBLISH', 'a', 'again'])
  await vi.waitFor(() => expect(heard).toEqual(['after', 'again']), PATIENCE)
})

test('begins when Redis comes, and says so', async () => {
  const port = await freePort()
  await using redis = await open(`redis://127.0.0.1:${port}`)
  const heard: string[] = []
  let gaps = 0
  await redis.subscribe(
    'a',
    (message) => heard.push(message),
    () => gaps++,
  )
  expect(gaps).toBe(0)
  await using server = await startTestRedis({ port })
  await vi.waitFor(() => expect(gaps).toBe(1), PATIENCE)
  await server.send(['PUBLISH', 'a', '1'])
  await vi.waitFor(() => expect(heard).toEqual(['1']), PATIENCE)
})

test('a server that no longer answers is left, although the connection stands', async () => {
  await using server = await startTestRedis()
  await using redis = await open(server.url)
  let gaps = 0
  await redis.subscribe(
    'a',
    () => {},
    () => gaps++,
  )
  server.freeze()
  await sleep(3_000)
  server.thaw()
  await vi.waitFor(() => expect(gaps).toBe(1), PATIENCE)
})

test('a listener that fails harms no other, and is said', async () => {
  await using server = await startTestRedis()
  const log: string[] = []
  await using redis = await open(server.url, log)
  const heard: string[] = []
  let gaps = 0
  const fail = (): never => {
    throw new Error('mine')
  }
  await redis.subscribe('a', fail, () => gaps++)
  await redis.subscribe(
    'a',
    (message) => heard.push(message),
    () => gaps++,
  )
  await server.send(['PUBLISH', 'a', '1'])
  await server.send(['PUBLISH', 'a', '2'])
  await vi.waitFor(() => expect(heard).toEqual(['1', '2']), PATIENCE)
  expect(log).toEqual(['A listener of Redis failed: mine', 'A listener of Redis failed: mine'])
  expect(gaps).toBe(0)
})

test('tracking: what was read is not asked again until somebody changes it', async () => {
  await using server = await startTestRedis()
  await using redis = await open(server.url)
  await using tracking = redis.track({ maxEntries: 100 })
  const invalidated: (string | null)[] = []
  tracking.onInvalidate((key) => invalidated.push(key))
  await redis.command((client) => client.set('a', '1'))
  const read = (): Promise<string | null> => tracking.read((client) => client.get('a'))
  await vi.waitFor(async () => expect(await read()).toBe('1'), PATIENCE)
  const asked = async (): Promise<number> => {
    const stats = String(await server.send(['INFO', 'commandstats']))
    return Number(/cmdstat_get:calls=(\d+)/.exec(stats)?.[1])
  }
  const before = await asked()
  for (let i = 0; i < 50; i++) expect(await read()).toBe('1')
  expect(await asked()).toBe(before)
  // The shared connection asks the server every time.
  expect(await redis.command((client) => client.get('a'))).toBe('1')
  expect(await asked()).toBe(before + 1)
  await server.send(['SET', 'a', '2'])
  await vi.waitFor(async () => expect(await read()).toBe('2'), PATIENCE)
  await vi.waitFor(() => expect(invalidated).toContain('a'), PATIENCE)
  await server.flush()
  await vi.waitFor(() => expect(invalidated).toContain(null), PATIENCE)
  expect(await read()).toBeNull()
})

test('tracking: nothing is answered from memory while the server is away, or after it lost what it had', async () => {
  await using server = await startTestRedis()
  await using redis = await open(server.url)
  await using tracking = redis.track({ maxEntries: 100 })
  const invalidated: (string | null)[] = []
  tracking.onInvalidate((key) => invalidated.push(key))
  await redis.command((client) => client.set('a', '1'))
  const read = (): Promise<string | null> => tracking.read((client) => client.get('a'))
  await vi.waitFor(async () => expect(await read()).toBe('1'), PATIENCE)
  await server.kill()
  await vi.waitFor(() => expect(redis.isUp).toBe(false), PATIENCE)
  await expect(read()).rejects.toBeInstanceOf(RedisUnavailable)
  expect(invalidated).toEqual([null])
  await server.launch()
  await vi.waitFor(async () => expect(await read()).toBeNull(), PATIENCE)
})
