import { expect, test } from 'vitest'
import { eventually } from '../support/nomaly.ts'
import { openTestStore, type StoreFixture, Undone } from './store-fixture.ts'

const waiting = ({ admin }: StoreFixture): Promise<{ name: string; key: string }[]> =>
  admin("select name, singleton_key as key from pgboss.job where state = 'created' order by created_on, id")

test('a task exists if and only if its unit of work commits', async () => {
  const fixture = await openTestStore()
  const { store, scope } = fixture
  const payload = { tenantId: scope.tenantId, runId: 'run' }
  await store
    .transaction(scope, async (unit) => {
      await unit.queue.send('run-detection', payload, 'undone')
      throw new Undone()
    })
    .catch(() => {})
  expect(await waiting(fixture)).toEqual([])
  await store.transaction(scope, async (unit) => {
    await unit.queue.send('run-detection', payload, 'committed')
    // Not there for anybody else before the commit.
    expect(await waiting(fixture)).toEqual([])
    await unit
      .savepoint(async (nested) => {
        await nested.queue.send('run-detection', payload, 'rolled back')
        throw new Undone()
      })
      .catch(() => {})
    // The tenant's role is back after the queue's: what follows is bound by row-level security again.
    expect(await unit.datasets.find('nothing')).toBeUndefined()
    await unit.datasets.create({ name: 'after' })
  })
  expect(await waiting(fixture)).toEqual([{ name: 'run-detection', key: 'committed' }])
})

test('at most one task of a key waits, also of those sent at once, and one more once it is being worked on', async () => {
  const fixture = await openTestStore()
  const { store, scope } = fixture
  const send = (key: string): Promise<unknown> =>
    store.transaction(scope, (unit) =>
      unit.queue.send('advance-stream', { tenantId: scope.tenantId, jobId: key }, key),
    )
  await Promise.all(Array.from({ length: 8 }, () => send('one')))
  await send('two')
  expect((await waiting(fixture)).map(({ key }) => key).toSorted()).toEqual(['one', 'two'])

  const begun: string[] = []
  const { promise: held, resolve: release } = Promise.withResolvers<void>()
  await store.queue.work('advance-stream', 1, async ({ jobId }) => {
    begun.push(jobId)
    await held
  })
  const first = await eventually(async () => begun[0])
  expect((await waiting(fixture)).map(({ key }) => key)).toEqual([first === 'one' ? 'two' : 'one'])
  // What comes while it is being worked on may be news to it: it waits for its turn.
  await Promise.all([send(first), send(first)])
  expect((await waiting(fixture)).map(({ key }) => key).toSorted()).toEqual(['one', 'two'])
  release()
  await eventually(async () => begun.length === 3)
  expect(begun.toSorted()).toEqual(['one', first, 'two'].toSorted())
})

test('a task that fails is tried again, and says on its second try what it carries', async () => {
  const fixture = await openTestStore()
  const { store, scope } = fixture
  const tries: string[] = []
  await store.queue.work('advance-stream', 1, async ({ jobId }) => {
    tries.push(jobId)
    if (tries.length === 1) throw new Error('not at first')
  })
  await store.transaction(scope, (unit) =>
    unit.queue.send('advance-stream', { tenantId: scope.tenantId, jobId: 'job' }, 'job'),
  )
  await eventually(async () => tries.length === 2)
  expect(tries).toEqual(['job', 'job'])
})

test('of many tasks and several queues each is done once', async () => {
  const fixture = await openTestStore()
  const { store, scope } = fixture
  const done: string[] = []
  for (const one of [store, await fixture.another()])
    await one.queue.work('run-detection', 2, async ({ runId }) => {
      done.push(runId)
    })
  const ids = Array.from({ length: 40 }, (_, number) => `run ${number}`)
  await store.transaction(scope, async (unit) => {
    for (const id of ids) await unit.queue.send('run-detection', { tenantId: scope.tenantId, runId: id }, id)
  })
  await eventually(async () => done.length >= ids.length)
  expect(done.toSorted()).toEqual(ids.toSorted())
})
