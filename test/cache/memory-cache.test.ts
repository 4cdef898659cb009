import { Type } from 'typebox'
import { expect, test } from 'vitest'
import { DEFAULT_CACHE_LIMITS } from '../../src/cache/kept-values.ts'
import { MemoryCache } from '../../src/cache/memory-cache.ts'
import { ReadThrough } from '../../src/cache/read-through.ts'
import type { Freshness } from '../../src/database/position.ts'
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

test('what others may have replaced unsaid is loaded under half of a bound, and serves for the other half', async () => {
  const startMs = 1_000_000
  let nowMs = startMs
  const store = new MemoryCache({ isAlone: false, noticeBoundMs: 60_000 })
  await using cache = new ReadThrough({
    store,
    position: async () => at(1),
    limits: DEFAULT_CACHE_LIMITS,
    now: () => nowMs,
    random: () => 0,
    sleep: async () => {},
  })
  const asked: Freshness[] = []
  const read = (freshness: Freshness): Promise<number | undefined> =>
    cache.read(
      { tenantId: 't' },
      {
        key: 'k',
        tags: ['a'],
        schema: Type.Number(),
        freshness,
        load: async (newEnough) => asked.push(newEnough),
      },
    )
  expect(await read({ maxLagMs: 1_000 })).toBe(1)
  // No older than its floors either, whatever the bound allows.
  expect(asked).toEqual([{ after: at(1), maxLagMs: 500 }])
  nowMs = startMs + 500
  expect(await read({ maxLagMs: 1_000 })).toBe(1)
  expect(await read({ after: at(1), maxLagMs: 1_000 })).toBe(1)
  nowMs = startMs + 501
  expect(await read({ maxLagMs: 1_000 })).toBe(2)
  expect(await read({ after: at(2), maxLagMs: 1_000 })).toBe(3)
  expect(asked.at(-1)).toEqual({ after: at(2), maxLagMs: 500 })
})
