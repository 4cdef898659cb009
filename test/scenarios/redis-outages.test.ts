import { setTimeout as sleep } from 'node:timers/promises'
import { expect, test, vi } from 'vitest'

import { openRedis, type Redis } from '../../src/redis/connection.ts'
import { RedisUnavailable } from '../../src/redis/unavailable.ts'
import { startTestRedis, type TestRedis } from '../support/redis.ts'

const ROUNDS = process.env['NOMALY_TEST_SCENARIOS'] === '1' ? 50 : 3
const CALLERS = 8
const PATIENCE = { timeout: 30_000, interval: 20 }

/** What happens to the server, one after the other: answers whether the server lost what it had. */
const OUTAGES: ((server: TestRedis) => Promise<boolean>)[] = [
  async (server) => {
    await server.kill()
    await sleep(100)
    await server.launch()
    return true
  },
  async (server) => {
    server.freeze()
    await sleep(700)
    server.thaw()
    return false
  },
  async (server) => {
    await server.send(['CLIENT', 'KILL', 'TYPE', 'normal'])
    await server.send(['CLIENT', 'KILL', 'TYPE', 'pubsub'])
    return false
  },
]

test(
  `under load through ${ROUNDS} outages every call ends, every answer is that of its own question, and no gap is kept back`,
  { timeout: 30_000 + ROUNDS * 10_000 },
  async () => {
    await using server = await startTestRedis()
    await using redis = await openRedis({
      url: server.url,
      timeoutMs: 100,
      log: () => {},
      clientName: 'load',
    })
    const over = new AbortController()
    const callers = Array.from({ length: CALLERS }, (_unused, caller) => call(redis, caller, over.signal))
    const finished = Promise.all(callers)
    let gaps = 0
    const heard: string[] = []
    await redis.subscribe(
      'news',
      (message) => heard.push(message),
      () => gaps++,
    )
    for (let round = 0; round < ROUNDS; round++) {
      const before = { runId: redis.runId, gaps }
      const lost = await OUTAGES[round % OUTAGES.length]!(server)
      await vi.waitFor(
        async () => expect(await redis.command((client) => client.ping())).toBe('PONG'),
        PATIENCE,
      )
      if (lost) expect(redis.runId).not.toBe(before.runId)
      else expect(redis.runId).toBe(before.runId)
      if (lost) await vi.waitFor(() => expect(gaps).toBeGreaterThan(before.gaps), PATIENCE)
      // What is published from now on is heard, or there was one more gap.
      const gapsNow = gaps
      await vi.waitFor(async () => {
        await server.send(['PUBLISH', 'news', String(round)])
        expect(heard.includes(String(round)) || gaps > gapsNow).toBe(true)
      }, PATIENCE)
    }
    over.abort()
    const counts = await finished
    for (const { answered, refused } of counts) {
      expect(answered).toBeGreaterThan(ROUNDS)
      expect(refused).toBeGreaterThan(0)
    }
  },
)

/** Writes and reads a key of its own, and looks whether what comes back is something it has written there. */
async function call(
  redis: Redis,
  caller: number,
  signal: AbortSignal,
): Promise<{ answered: number; refused: number }> {
  const key = `caller-${caller}`
  let answered = 0
  let refused = 0
  /** What may stand there: the last that was acknowledged, and all after it whose outcome is unknown. */
  let possible = new Set<string | null>([null])
  for (let i = 0; !signal.aborted; i++) {
    const value = `${caller}-${i}`
    const { runId } = redis
    try {
      await redis.command((client) => client.set(key, value))
      possible = new Set([value])
      const found = await redis.command((client) => client.get(key))
      // Only another server may have lost it.
      if (!possible.has(found)) expect([found, redis.runId === runId]).toEqual([null, false])
      answered++
    } catch (error) {
      if (!(error instanceof RedisUnavailable)) throw error
      possible.add(value)
      refused++
    }
    await sleep(2)
  }
  return { answered, refused }
}
