import { expect, test, vi } from 'vitest'

import { NomalyError } from '../../src/errors.ts'
import { openStore } from '../../src/store/open-store.ts'
import { createMigratedDatabase, startTestNomaly, testConfig } from '../support/nomaly.ts'
import { freePort, startTestRedis } from '../support/redis.ts'

const PATIENCE = { timeout: 15_000, interval: 50 }

test('the product starts without its Redis, says so, and uses it when it comes', async () => {
  const port = await freePort()
  await using nomaly = await startTestNomaly({
    worker: false,
    config: { redisUrl: `redis://127.0.0.1:${port}`, redisTimeoutMs: 100 },
  })
  const look = async (): Promise<{ status: number; health: unknown; gauge: string | undefined }> => {
    const [ready, metrics] = await Promise.all([
      fetch(`${nomaly.url}/readyz`),
      fetch(`${nomaly.url}/metrics`),
    ])
    const gauge = /^nomaly_redis_up (\d)$/m.exec(await metrics.text())?.[1]
    return { status: ready.status, health: await ready.json(), gauge }
  }
  expect(await look()).toMatchObject({
    status: 200,
    health: {
      status: 'degraded',
      checks: [
        { name: 'database', ok: true },
        { name: 'redis', ok: false },
      ],
    },
    gauge: '0',
  })
  expect((await nomaly.request('GET', '/v1/me')).status).toBe(200)
  await using redis = await startTestRedis({ port })
  await vi.waitFor(
    async () =>
      expect(await look()).toMatchObject({
        status: 200,
        health: { status: 'ready', checks: [{ name: 'database' }, { name: 'redis', ok: true }] },
        gauge: '1',
      }),
    PATIENCE,
  )
  await redis.kill()
  await vi.waitFor(async () => expect(await look()).toMatchObject({ status: 200, gauge: '0' }), PATIENCE)
})

test('without REDIS_URL there is nothing to say about it', async () => {
  await using nomaly = await startTestNomaly({ worker: false })
  expect(await (await fetch(`${nomaly.url}/readyz`)).json()).toMatchObject({
    status: 'ready',
    checks: [{ name: 'database' }],
  })
  expect(await (await fetch(`${nomaly.url}/metrics`)).text()).not.toContain('nomaly_redis_up')
})

test.each([
  ['REDIS_URL', { redisUrl: 'http://127.0.0.1' }],
  ['NOMALY_REDIS_PREFIX', { redisUrl: 'redis://127.0.0.1', redisPrefix: '{nomaly}:' }],
])('a wrong %s is named, and the start refused', async (field, config) => {
  const settings = testConfig(config)
  const { database, databaseUrl } = await createMigratedDatabase(settings)
  await using _dropped = database
  const start = openStore(settings, databaseUrl, () => {})
  await expect(start).rejects.toBeInstanceOf(NomalyError)
  await expect(start).rejects.toMatchObject({ code: 'invalid_input', problems: [{ field }] })
})
