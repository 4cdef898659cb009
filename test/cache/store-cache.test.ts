import { Type } from 'typebox'
import { expect, onTestFinished, test, vi } from 'vitest'
import { openStore, type StoreOptions } from '../../src/store/open-store.ts'
import { relayOutbox, relayRaises } from '../../src/store/relay.ts'
import type { Store } from '../../src/store/store.ts'
import { createMigratedDatabase, startTestNomaly, type TestNomaly, testConfig } from '../support/nomaly.ts'
import { startTestRedis } from '../support/redis.ts'

/** Stores of several processes on one database, with a Redis between them or without. */
async function openStores(count: number, options: StoreOptions & { redisUrl?: string }): Promise<Store[]> {
  const { database, databaseUrl } = await createMigratedDatabase()
  onTestFinished(() => database.drop())
  const { redisUrl } = options
  return Promise.all(
    Array.from({ length: count }, async () => {
      const store = await openStore(
        testConfig(redisUrl === undefined ? {} : { redisUrl }),
        databaseUrl,
        () => {},
        options,
      )
      onTestFinished(() => store[Symbol.asyncDispose]())
      return store
    }),
  )
}

/** The description of a dataset, as something dear to find out. */
function described(store: Store, scope: { tenantId: string }, id: string, counts: { loads: number }) {
  return store.cache.read(scope, {
    key: `description ${id}`,
    tags: [`dataset:${id}`],
    schema: Type.String(),
    freshness: 'latest',
    load: async () => {
      counts.loads++
      return (await store.read(scope, 'latest').datasets.get(id)).description
    },
  })
}

async function redescribe(
  store: Store,
  scope: { tenantId: string },
  id: string,
  description: string,
): Promise<void> {
  await store.transaction(scope, async (unit) => {
    await unit.datasets.update(id, { description })
    unit.touches(`dataset:${id}`)
  })
}

async function makeDataset(store: Store): Promise<{ scope: { tenantId: string }; id: string }> {
  const { id: tenantId } = await store.tenants.create('tenant')
  const scope = { tenantId }
  const { value } = await store.transaction(scope, (unit) =>
    unit.datasets.create({ name: 'd', description: 'first' }),
  )
  return { scope, id: value.id }
}

test('a transaction replaces what it touches in every process before it is acknowledged', async () => {
  await using redis = await startTestRedis()
  const [one, two] = (await openStores(2, { redisUrl: redis.url })) as [Store, Store]
  const { scope, id } = await makeDataset(one)
  const counts = { loads: 0 }
  expect(await described(two, scope, id, counts)).toBe('first')
  await vi.waitFor(async () => {
    const before = counts.loads
    await described(one, scope, id, counts)
    expect(counts.loads).toBe(before)
  })
  for (let change = 0; change < 20; change++) {
    await redescribe(one, scope, id, `change ${change}`)
    expect(await described(two, scope, id, counts)).toBe(`change ${change}`)
  }
})

test('who dies between the commit and telling the cache is spoken for by the relay', async () => {
  await using redis = await startTestRedis()
  const [one, two] = (await openStores(2, { redisUrl: redis.url })) as [Store, Store]
  const { scope, id } = await makeDataset(one)
  const counts = { loads: 0 }
  await described(two, scope, id, counts)
  const raise = vi.spyOn(one.cache, 'raise').mockResolvedValue()
  await redescribe(one, scope, id, 'second')
  raise.mockRestore()
  expect(await described(two, scope, id, counts)).toBe('first')
  await relayOutbox(two.database, two.queue, two.notifier)
  await relayRaises(two.database, two.cache)
  expect(await described(two, scope, id, counts)).toBe('second')
  const events = await two.read(scope, 'latest').events.after(0, 100)
  expect(events.map(({ topic }) => topic)).not.toContain('cache')
  const left = await two.database.read({ role: 'nomaly_system', freshness: 'latest' }, (connection) =>
    connection.query('select from nomaly.outbox'),
  )
  expect(left).toEqual([])
})

test('what was rolled back replaces nothing, and a text that is no tag is refused', async () => {
  const [store] = (await openStores(1, { isAlone: true })) as [Store]
  const { scope, id } = await makeDataset(store)
  const counts = { loads: 0 }
  await described(store, scope, id, counts)
  const undone = store.transaction(scope, async (unit) => {
    unit.touches(`dataset:${id}`)
    throw new Error('undone')
  })
  await expect(undone).rejects.toThrow('undone')
  await described(store, scope, id, counts)
  expect(counts.loads).toBe(1)
  await expect(store.transaction(scope, async (unit) => unit.touches('a b'))).rejects.toThrow('not a tag')
})

test('without Redis: one process alone answers from memory; of several, each asks the database for the newest', async () => {
  const [alone] = (await openStores(1, { isAlone: true })) as [Store]
  const first = await makeDataset(alone)
  const counts = { loads: 0 }
  for (let reads = 0; reads < 3; reads++) await described(alone, first.scope, first.id, counts)
  expect(counts.loads).toBe(1)
  await redescribe(alone, first.scope, first.id, 'second')
  expect(await described(alone, first.scope, first.id, counts)).toBe('second')

  const [one, two] = (await openStores(2, {})) as [Store, Store]
  const { scope, id } = await makeDataset(one)
  for (let change = 0; change < 5; change++) {
    await redescribe(one, scope, id, `change ${change}`)
    expect(await described(two, scope, id, counts)).toBe(`change ${change}`)
  }
})

async function put(nomaly: TestNomaly, lines: string, path = 'points'): Promise<void> {
  const headers = { 'content-type': 'application/x-ndjson' }
  const { status } = await nomaly.request('POST', `/v1/datasets/d/${path}`, { body: lines, headers })
  expect(status).toBe(200)
}

function point(second: number, value: number, series = 'a'): string {
  return `${JSON.stringify({ time: new Date(1_700_000_000_000 + second * 1_000).toISOString(), metric: 'm', tags: { series }, value })}\n`
}

test('over HTTP: answers of queries are kept, and never miss a point that was acknowledged by another process', async () => {
  await using redis = await startTestRedis()
  const config = { redisUrl: redis.url }
  await using one = await startTestNomaly({ worker: false, config })
  await using two = await startTestNomaly({ worker: false, config, beside: one })
  await one.request('POST', '/v1/datasets', { body: { name: 'd' } })
  await put(one, point(0, 1))
  const query = { dataset: 'd', bucketSeconds: 86_400, groupBy: 'all' }
  const count = async (nomaly: TestNomaly): Promise<number> => {
    const { body } = await nomaly.request('POST', '/v1/query', { body: query })
    return (body.series as { count: number[] }[])
      .flatMap((each) => each.count)
      .reduce((sum, each) => sum + each, 0)
  }
  expect(await count(one)).toBe(1)
  const asked = vi.spyOn(two.store.metrics, 'query')
  expect(await count(two)).toBe(1)
  for (let reads = 0; reads < 5; reads++) expect(await count(two)).toBe(1)
  expect(asked.mock.calls.length).toBeLessThanOrEqual(1)
  for (let second = 1; second <= 30; second++) {
    const [writer, reader] = second % 2 === 0 ? [one, two] : [two, one]
    await put(writer, point(second, second))
    expect(await count(reader)).toBe(second + 1)
    const { body } = await reader.request('GET', '/v1/datasets/d')
    expect(Date.parse(body.latestAt)).toBe(1_700_000_000_000 + second * 1_000)
  }
  // A series of its own by its id; one that is not there yet is not remembered as such.
  const { body: listed } = await one.request('GET', '/v1/datasets/d/series')
  const { id } = listed.items[0] as { id: number }
  const sums = async (nomaly: TestNomaly): Promise<number[]> => {
    const { body } = await nomaly.request('POST', '/v1/query', {
      body: { seriesIds: [id, id + 1], bucketSeconds: 86_400 },
    })
    return (body.series as { sum: number[] }[]).map(({ sum }) => sum[0] ?? 0)
  }
  expect(await sums(two)).toEqual([466, 0])
  await put(one, point(0, 5, 'b'))
  expect(await sums(two)).toEqual([466, 5])
  await put(one, point(0, 100), 'corrections')
  expect(await sums(two)).toEqual([565, 5])
  await two.store.metrics.dropSource(
    { tenantId: one.tenant.tenantId },
    (await one.request('GET', '/v1/datasets/d')).body.id,
  )
  expect(await count(one)).toBe(0)
})
