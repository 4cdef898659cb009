import { randomUUID } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { Type } from 'typebox'
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest'
import type { CacheRead } from '../../src/cache/cache.ts'
import type { CacheStore } from '../../src/cache/cache-store.ts'
import { type CacheLimits, DEFAULT_CACHE_LIMITS } from '../../src/cache/kept-values.ts'
import { ReadThrough } from '../../src/cache/read-through.ts'
import { at, type CacheFixture, type CacheSuiteOptions, describeCacheStore } from './cache-store.ts'
import type { Freshness } from '../../src/database/position.ts'

const Count = Type.Object({ count: Type.Integer() })

/** What every store of the cache must do, and the cache over it. */
export function describeCache(
  name: string,
  make: () => Promise<CacheFixture>,
  options: CacheSuiteOptions = {},
): void {
  describeCacheStore(name, make, options)
  describe(`cache over ${name}`, () => {
    let fixture: CacheFixture
    let store: CacheStore
    let now = 1_000
    beforeAll(async () => {
      fixture = await make()
      store = await fixture.open()
    })
    afterAll(() => fixture[Symbol.asyncDispose]())
    const shared = test.skipIf(options.sharesNothing !== undefined)
    const scopeOf = (): { tenantId: string } => ({ tenantId: randomUUID() })
    const open = (over = store, limits: Partial<CacheLimits> = {}): ReadThrough =>
      new ReadThrough({
        store: over,
        position: async () => at(now),
        limits: { ...DEFAULT_CACHE_LIMITS, ...limits },
        now: Date.now,
        random: Math.random,
        sleep: (ms, signal) => sleep(ms, undefined, { signal: signal! }).catch(() => {}),
      })
    const counting = (
      more: Partial<CacheRead<typeof Count>> = {},
    ): CacheRead<typeof Count> & {
      loads: Freshness[]
      next: () => Promise<{ count: number } | undefined>
    } => {
      const loads: Freshness[] = []
      const wanted: ReturnType<typeof counting> = {
        key: 'count',
        tags: ['a', 'b'],
        schema: Count,
        freshness: 'latest' as const,
        loads,
        next: async () => ({ count: loads.length }),
        load: (freshness: Freshness) => {
          loads.push(freshness)
          return wanted.next()
        },
        ...more,
      }
      return wanted
    }
    /** The same key, asked for otherwise. */
    const otherwise = <T extends object>(wanted: T, more: object): T =>
      Object.assign(Object.create(wanted) as T, more)

    test('a value is loaded once, after its floors, until a commit replaces it', async () => {
      const scope = scopeOf()
      const cache = open()
      const wanted = counting()
      now = 0x1_23
      expect(await cache.read(scope, wanted)).toEqual({ count: 1 })
      expect(await cache.read(scope, wanted)).toEqual({ count: 1 })
      await cache.raise(scope, ['other'], at(0x1_24))
      expect(await cache.read(scope, wanted)).toEqual({ count: 1 })
      await cache.raise(scope, ['b'], at(0x1_25))
      expect(await cache.read(scope, wanted)).toEqual({ count: 2 })
      expect(wanted.loads).toEqual([{ after: at(0x1_23) }, { after: at(0x1_25) }])
    })

    test('a position that the value covers needs no look, a later one does', async () => {
      const scope = scopeOf()
      const cache = open()
      const wanted = counting()
      now = 100
      await cache.read(scope, wanted)
      const look = vi.spyOn(store, 'look')
      await cache.read(scope, otherwise(wanted, { freshness: { after: at(100) } }))
      await cache.read(scope, otherwise(wanted, { freshness: { maxLagMs: 60_000 } }))
      expect(look).not.toHaveBeenCalled()
      await cache.read(scope, otherwise(wanted, { freshness: { after: at(101) } }))
      await cache.read(scope, otherwise(wanted, { freshness: { after: at(100, 2) } }))
      expect(look).toHaveBeenCalledTimes(2)
      look.mockRestore()
      expect(wanted.loads).toHaveLength(1)
    })

    test('nothing is a value too, for a shorter time', async () => {
      const scope = scopeOf()
      const cache = open(store, { negativeTtlSeconds: 0.05 })
      const wanted = counting({ key: 'nothing' })
      wanted.next = async () => undefined
      expect(await cache.read(scope, wanted)).toBeUndefined()
      expect(await cache.read(scope, wanted)).toBeUndefined()
      expect(wanted.loads).toHaveLength(1)
      await sleep(60)
      await cache.read(scope, wanted)
      expect(wanted.loads).toHaveLength(2)
    })

    test('what is too long is not kept, and what is long comes back whole', async () => {
      const scope = scopeOf()
      const text = 'ab✓'.repeat(20_000)
      const wanted = { ...counting(), key: 'long', schema: Type.String() }
      const read = { ...wanted, load: async (freshness: Freshness) => (wanted.loads.push(freshness), text) }
      const strict = open(store, { valueLength: 59_999 })
      await strict.read(scope, read)
      await strict.read(scope, read)
      expect(wanted.loads).toHaveLength(2)
      for (let process = 0; process < 2; process++)
        expect((await open(await fixture.open()).read(scope, read)) === text).toBe(true)
      expect(wanted.loads).toHaveLength(options.sharesNothing === undefined ? 3 : 4)
    })

    test('an error is no value, and is everyone’s who waited for it', async () => {
      const scope = scopeOf()
      const cache = open()
      const wanted = counting({ key: 'error' })
      wanted.next = async () => Promise.reject(new TypeError('no luck'))
      const readers = [1, 2, 3].map(() => cache.read(scope, wanted))
      for (const reader of readers) await expect(reader).rejects.toThrow('no luck')
      wanted.next = async () => ({ count: 7 })
      expect(await cache.read(scope, wanted)).toEqual({ count: 7 })
    })

    test('many readers of this process make one load; who goes away is let go, and only the last ends it', async () => {
      const scope = scopeOf()
      const cache = open()
      const gate = Promise.withResolvers<{ count: number }>()
      let signal: AbortSignal | undefined
      const wanted = counting({ key: 'slow' })
      const slow = otherwise(wanted, {
        load: async (freshness: Freshness, given: AbortSignal) => {
          signal = given
          wanted.loads.push(freshness)
          return gate.promise
        },
      })
      const leaver = new AbortController()
      const leaving = cache.read(scope, otherwise(slow, { signal: leaver.signal }))
      const staying = Array.from({ length: 50 }, () => cache.read(scope, slow))
      await vi.waitFor(() => expect(wanted.loads).toHaveLength(1))
      leaver.abort(new Error('gone'))
      await expect(leaving).rejects.toThrow('gone')
      expect(signal!.aborted).toBe(false)
      gate.resolve({ count: 1 })
      for (const reader of staying) expect(await reader).toEqual({ count: 1 })
      expect(wanted.loads).toHaveLength(1)
      const last = new AbortController()
      await cache.raise(scope, ['a'], at(5_000))
      const alone = cache.read(
        scope,
        otherwise(slow, {
          signal: last.signal,
          load: (_: Freshness, given: AbortSignal) => ((signal = given), new Promise(() => {})),
        }),
      )
      await vi.waitFor(() => expect(signal!.aborted).toBe(false))
      last.abort(new Error('gone too'))
      await expect(alone).rejects.toThrow('gone too')
      expect(signal!.aborted).toBe(true)
    })

    test('where it is allowed, a value that was replaced serves until the new one is there', async () => {
      const scope = scopeOf()
      const cache = open()
      const wanted = counting({ key: 'stale', allowStale: true })
      await cache.read(scope, wanted)
      await cache.raise(scope, ['a'], at(9_000))
      expect(await cache.read(scope, wanted)).toEqual({ count: 1 })
      await vi.waitFor(async () => expect(await cache.read(scope, wanted)).toEqual({ count: 2 }))
      await cache.raise(scope, ['a'], at(9_001))
      expect(await cache.read(scope, otherwise(wanted, { freshness: { after: at(9_001) } }))).toEqual({
        count: 3,
      })
    })

    shared('another process takes what was loaded, unless it does not look as it should', async () => {
      const scope = scopeOf()
      const wanted = counting({ key: 'shape' })
      await open().read(scope, wanted)
      const other = open(await fixture.open())
      expect(await vi.waitFor(() => other.read(scope, wanted))).toEqual({ count: 1 })
      const Strange = Type.Object({ sum: Type.Number() })
      const strange = { ...wanted, schema: Strange, load: async () => ({ sum: 1.5 }) }
      expect(await open(await fixture.open()).read(scope, strange)).toEqual({ sum: 1.5 })
    })

    shared('many misses of many processes make one load', async () => {
      const scope = scopeOf()
      const wanted = counting({ key: 'many' })
      wanted.next = () => sleep(100, { count: 1 })
      const caches = await Promise.all([1, 2, 3, 4].map(async () => open(await fixture.open())))
      const readers = Array.from({ length: 200 }, (_, index) => caches[index % 4]!.read(scope, wanted))
      for (const reader of readers) expect(await reader).toEqual({ count: 1 })
      expect(wanted.loads).toHaveLength(1)
    })

    shared('when the one who loads dies, the others wait no longer than its right lasts', async () => {
      const scope = scopeOf()
      await store.lock(scope, 'dead', 200)
      const wanted = counting({ key: 'dead' })
      expect(await open(store, { lockMs: 5_000 }).read(scope, wanted)).toEqual({ count: 1 })
    })
  })
}
