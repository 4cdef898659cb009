import { expect, onTestFinished, test } from 'vitest'
import type { Notification } from '../../src/notifications/notifier.ts'
import { pruneHistory, relayOutbox } from '../../src/store/relay.ts'
import type { Store } from '../../src/store/store.ts'
import { Worker } from '../../src/worker/worker.ts'
import { createLogger } from '../../src/telemetry/logger.ts'
import { createProcessMetrics } from '../../src/telemetry/process-metrics.ts'
import { eventually } from '../support/nomaly.ts'
import { openTestStore, type StoreFixture, Undone } from './store-fixture.ts'

const relay = (store: Store): Promise<number> => relayOutbox(store.database, store.queue, store.notifier)

async function published({ store, scope }: StoreFixture): Promise<string[]> {
  const events = await store.read(scope, 'latest').events.after(0, 100_000)
  return events.map(({ payload }) => (payload as { id: string }).id)
}

test('what was added is published if and only if its unit of work commits', async () => {
  const fixture = await openTestStore()
  const { store, scope } = fixture
  await store.transaction(scope, (unit) => unit.outbox.add('job', { id: 'committed', status: 'pending' }))
  const undone = store.transaction(scope, async (unit) => {
    await unit.outbox.add('job', { id: 'undone', status: 'pending' })
    throw new Undone()
  })
  await expect(undone).rejects.toThrow(Undone)
  await store.transaction(scope, async (unit) => {
    await unit.outbox.add('job', { id: 'outside', status: 'pending' })
    const inner = unit.savepoint(async (nested) => {
      await nested.outbox.add('job', { id: 'rolled back to its savepoint', status: 'pending' })
      throw new Undone()
    })
    await expect(inner).rejects.toThrow(Undone)
  })
  expect(await relay(store)).toBe(2)
  expect(await relay(store)).toBe(0)
  expect(await published(fixture)).toEqual(['committed', 'outside'])
})

test('a commit wakes whoever relays, and a relayed event whoever listens', async () => {
  const fixture = await openTestStore()
  const { store, scope } = fixture
  const heard: Notification[] = []
  const other = await fixture.another()
  onTestFinished(other.notifier.subscribe((notification) => heard.push(notification)))
  await store
    .transaction(scope, async (unit) => {
      await unit.outbox.add('job', { id: 'undone', status: 'pending' })
      throw new Undone()
    })
    .catch(() => {})
  await store.transaction(scope, (unit) => unit.outbox.add('job', { id: 'one', status: 'pending' }))
  await eventually(async () => heard.some(({ channel }) => channel === 'outbox'))
  await relay(store)
  await eventually(async () => heard.some(({ channel }) => channel === 'events'))
  expect(heard.filter(({ channel }) => channel === 'outbox')).toEqual([
    { channel: 'outbox', tenantId: scope.tenantId, id: '' },
  ])
})

test('several relays at once move every event once, in the order in which it was added', async () => {
  const fixture = await openTestStore()
  const { store, scope } = fixture
  const stores = [store, await fixture.another(), await fixture.another()]
  const COUNT = 1_500
  const over = new AbortController()
  const relays = stores.map(async (one) => {
    while (!over.signal.aborted) await relay(one)
  })
  for (let start = 0; start < COUNT; start += 100)
    await store.transaction(scope, async (unit) => {
      for (let number = start; number < start + 100; number++)
        await unit.outbox.add('job', { id: String(number), status: 'pending' })
    })
  await eventually(async () => (await fixture.admin('select from nomaly.outbox limit 1')).length === 0)
  over.abort()
  await Promise.all(relays)
  expect(await published(fixture)).toEqual(Array.from({ length: COUNT }, (_, number) => String(number)))
})

test('a relay that dies before it has told anybody: whoever looks reads on, and nothing is published again', async () => {
  const fixture = await openTestStore()
  const { store, scope } = fixture
  await store.transaction(scope, (unit) => unit.outbox.add('job', { id: 'one', status: 'pending' }))
  const mute = { publish: async () => {} } as unknown as typeof store.notifier
  expect(await relayOutbox(store.database, store.queue, mute)).toBe(1)
  expect(await published(fixture)).toEqual(['one'])
  expect(await relay(store)).toBe(0)
  await store.transaction(scope, (unit) => unit.outbox.add('job', { id: 'two', status: 'pending' }))
  await relay(store)
  expect(await published(fixture)).toEqual(['one', 'two'])
})

test('a notice that was lost is made up for by the clock', async () => {
  const fixture = await openTestStore()
  const { store, scope, databaseUrl } = fixture
  const worker = await Worker.start({
    store,
    databaseUrl,
    concurrency: 1,
    drainTimeoutMs: 1_000,
    webhookPrivateAddresses: 'refuse',
    logger: createLogger('silent'),
    metrics: createProcessMetrics(store),
  })
  onTestFinished(() => worker[Symbol.asyncDispose]())
  // As if the process had died between its commit and the notice: the row is there, and nobody was told.
  await fixture.admin(
    `insert into nomaly.outbox (tenant_id, topic, payload) values ($1, 'job', '{"id":"untold"}')`,
    [scope.tenantId],
  )
  await eventually(async () => (await published(fixture)).includes('untold'))
})

test('a finding of a tenant with a webhook becomes one task, in the transaction that publishes it', async () => {
  const fixture = await openTestStore()
  const { store, scope } = fixture
  const tasks = (): Promise<{ data: { anomalyId: string } }[]> =>
    fixture.admin("select data from pgboss.job where name = 'deliver-webhook' order by created_on")
  const open = (id: string): Promise<unknown> =>
    store.transaction(scope, (unit) => unit.outbox.add('anomaly', { id, change: 'opened' }))
  await open('before there was one')
  await relay(store)
  await store.transaction(scope, (unit) =>
    unit.settings.set('webhook', { url: 'http://127.0.0.1:1/hook', secret: 'x' }, 'test'),
  )
  await open('found')
  await store.transaction(scope, (unit) => unit.outbox.add('anomaly', { id: 'changed', change: 'updated' }))
  await Promise.all([relay(store), relay(await fixture.another())])
  await relay(store)
  expect((await tasks()).map(({ data }) => data.anomalyId)).toEqual(['found'])
})

test('a tenant reads its own events only, and old ones are pruned but the newest, which says how far the numbers have come', async () => {
  const fixture = await openTestStore()
  const { store, scope } = fixture
  const { id: otherId } = await store.tenants.create('other')
  const other = { tenantId: otherId }
  await store.transaction(scope, (unit) => unit.outbox.add('job', { id: 'mine', status: 'pending' }))
  for (const id of ['theirs', 'theirs too'])
    await store.transaction(other, (unit) => unit.outbox.add('job', { id, status: 'pending' }))
  await relay(store)
  expect(await published(fixture)).toEqual(['mine'])
  expect(await published({ ...fixture, scope: other })).toEqual(['theirs', 'theirs too'])
  await fixture.admin(
    "update nomaly.events set published_at = now() - interval '25 hours' where tenant_id = $1",
    [otherId],
  )
  await pruneHistory(store.database, 24)
  expect(await published({ ...fixture, scope: other })).toEqual(['theirs too'])
  expect(await published(fixture)).toEqual(['mine'])
})
