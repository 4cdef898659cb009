import { expect, test } from 'vitest'
import { MemoryCache } from '../../src/cache/memory-cache.ts'
import { at } from '../conformance/cache-store.ts'
import { describeCache } from '../conformance/cache.ts'

describeCache(
  'memory',
  async () => ({
    open: async () => new MemoryCache({ isAlone: true, noticeBoundMs: 1_000 }),
    [Symbol.asyncDispose]: async () => {},
  }),
  { sharesNothing: 'each process has its own memory' },
)

test('floors that are not used make room, and cost a miss', async () => {
  const store = new MemoryCache({ isAlone: true, noticeBoundMs: 0, maxFloors: 3 })
  const scope = { tenantId: 't' }
  await store.establish(scope, ['a', 'b', 'c'], async () => at(1))
  await store.establish(scope, ['d'], async () => at(1))
  const { floors } = await store.look(scope, ['a', 'b', 'c', 'd'])
  expect(floors.map((floor) => floor !== undefined)).toEqual([false, true, true, true])
})

test('after a gap in what others say, nothing that was known before counts', async () => {
  const store = new MemoryCache({ isAlone: false, noticeBoundMs: 0 })
  const scope = { tenantId: 't' }
  await store.establish(scope, ['a'], async () => at(1))
  const seen = await store.look(scope, ['a'])
  const watch = await store.watch(scope, ['a'], seen)
  await store.establish(scope, ['b'], async () => {
    store.forget()
    return at(1)
  })
  expect(watch?.isCurrent).toBe(false)
  expect((await store.look(scope, ['a', 'b'])).floors).toEqual([undefined, undefined])
})
