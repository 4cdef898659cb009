import { expect, test } from 'vitest'
import { eventually, startTestNomaly, type TestNomaly } from '../support/nomaly.ts'
import { startTestRedis } from '../support/redis.ts'
import { EventListener } from './event-listener.ts'
import { EventWebSocket } from './event-web-socket.ts'

/** Shorter than the heartbeat, by which everything would arrive anyway. */
const BOUND_MS = 10_000

test('with Redis killed, frozen and back again events arrive in time, in order, none lost, on every server', async () => {
  await using redis = await startTestRedis()
  const config = { redisUrl: redis.url }
  const here = await startTestNomaly({ config })
  const there = await startTestNomaly({ worker: false, beside: here, config })
  try {
    const listeners = [
      await EventListener.connect(here.url, here.tenant.key),
      await EventListener.connect(there.url, here.tenant.key),
      await EventWebSocket.connect(there.url, here.tenant.key),
    ]
    const made: string[] = []
    const create = async (server: TestNomaly): Promise<void> => {
      const { status, body } = await server.request('POST', '/v1/datasets', {
        body: { name: `d-${made.length}` },
      })
      expect(status).toBe(201)
      made.push(body.id)
    }
    const arrive = async (): Promise<void> => {
      for (const listener of listeners)
        await eventually(async () => listener.numbered.at(-1)?.data.id === made.at(-1), BOUND_MS)
    }
    const talk = async (count: number): Promise<void> => {
      for (let i = 0; i < count; i++) await create(i % 2 === 0 ? here : there)
      await arrive()
    }
    await talk(10)
    for (const outage of [
      () => redis.kill(),
      () => redis.launch(),
      async () => redis.freeze(),
      async () => redis.thaw(),
      () => redis.restart(),
    ]) {
      const talking = talk(10)
      await outage()
      await talking
      await talk(6)
    }
    for (const listener of listeners) {
      expect(listener.numbered.map(({ data }) => data.id)).toEqual(made)
      await listener[Symbol.asyncDispose]()
    }
  } finally {
    await there[Symbol.asyncDispose]()
    await here[Symbol.asyncDispose]()
  }
}, 180_000)

test('Redis is used for what is no part of a transaction, and only where it may be', async () => {
  await using redis = await startTestRedis()
  const published = async (): Promise<number> => {
    const channels = String(await redis.send(['PUBSUB', 'CHANNELS', '*notices']))
    return channels === '' ? 0 : channels.split(',').length
  }
  const here = await startTestNomaly({ worker: false, config: { redisUrl: redis.url, notifier: 'postgres' } })
  try {
    expect(await published()).toBe(0)
    const there = await startTestNomaly({
      worker: false,
      beside: here,
      config: { redisUrl: redis.url, notifier: 'redis' },
    })
    expect(await published()).toBe(1)
    await there[Symbol.asyncDispose]()
  } finally {
    await here[Symbol.asyncDispose]()
  }
  await expect(startTestNomaly({ worker: false, config: { notifier: 'redis' } })).rejects.toThrow(
    'NOMALY_NOTIFIER',
  )
}, 60_000)
