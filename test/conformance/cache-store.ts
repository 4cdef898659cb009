import { randomUUID } from 'node:crypto'
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest'
import type { CacheStore } from '../../src/cache/cache-store.ts'
import type { Position } from '../../src/database/position.ts'

/** Stores as several processes have them: each of `open` sees what the others put, where the adapter shares values. */
export interface CacheFixture extends AsyncDisposable {
  open(): Promise<CacheStore>
}

export interface CacheSuiteOptions {
  /** Why values are not shared between processes; the tests that need it are skipped. */
  readonly sharesNothing?: string
}

export function at(lsn: number, timeline = 1): Position {
  return { systemId: '7', timeline, lsn: `0/${lsn.toString(16).toUpperCase()}` }
}

/** What every store of the cache must do. */
export function describeCacheStore(
  name: string,
  make: () => Promise<CacheFixture>,
  options: CacheSuiteOptions,
): void {
  describe(`cache store: ${name}`, () => {
    let fixture: CacheFixture
    let store: CacheStore
    beforeAll(async () => {
      fixture = await make()
      store = await fixture.open()
    })
    afterAll(() => fixture[Symbol.asyncDispose]())
    const shared = test.skipIf(options.sharesNothing !== undefined)
    if (options.sharesNothing !== undefined) test.skip(`shared values: ${options.sharesNothing}`, () => {})
    const scopeOf = (): { tenantId: string } => ({ tenantId: randomUUID() })

    test('floors are missing until they are made, and then as the primary stood', async () => {
      const scope = scopeOf()
      expect((await store.look(scope, ['a', 'b'], undefined)).floors).toEqual([undefined, undefined])
      const asked: string[] = []
      const position = async (tag: string): Promise<Position> => {
        asked.push(tag)
        return at(0xabc)
      }
      await store.establish(scope, ['a', 'b'], position)
      const look = await store.look(scope, ['a', 'b'], undefined)
      expect(look.floors.map((floor) => floor?.position)).toEqual([at(0xabc), at(0xabc)])
      expect(look.generation).not.toBe('')
      await store.establish(scope, ['a', 'b'], position)
      expect(asked).toEqual(['a', 'b'])
      expect(await store.look(scope, ['a', 'b'], undefined)).toEqual(look)
    })

    test('a raise gives a new nonce, the later position, and touches nothing else', async () => {
      const scope = scopeOf()
      const other = scopeOf()
      for (const each of [scope, other]) await store.establish(each, ['a', 'b'], async () => at(100))
      const before = await store.look(scope, ['a', 'b'], undefined)
      const others = await store.look(other, ['a', 'b'], undefined)
      await store.raise(scope, ['a'], at(0x1_00_00))
      const raised = await store.look(scope, ['a', 'b'], undefined)
      expect(raised.floors[0]!.position).toEqual(at(0x1_00_00))
      expect(raised.floors[0]!.nonce).not.toBe(before.floors[0]!.nonce)
      expect(raised.floors[1]).toEqual(before.floors[1])
      await store.raise(scope, ['a'], at(0xff_ff))
      const again = await store.look(scope, ['a'], undefined)
      expect(again.floors[0]!.position).toEqual(at(0x1_00_00))
      expect(again.floors[0]!.nonce).not.toBe(raised.floors[0]!.nonce)
      await store.raise(scope, ['a'], at(5, 2))
      expect((await store.look(scope, ['a'], undefined)).floors[0]!.position).toEqual(at(5, 2))
      expect(await store.look(other, ['a', 'b'], undefined)).toEqual(others)
    })

    test('a raise makes no floor, and one that is being made meanwhile is not made', async () => {
      const scope = scopeOf()
      await store.raise(scope, ['a'], at(100))
      expect((await store.look(scope, ['a'], undefined)).floors).toEqual([undefined])
      await store.establish(scope, ['a', 'b'], async (tag) => {
        if (tag === 'a') await store.raise(scope, ['a'], at(200))
        return at(50)
      })
      const { floors } = await store.look(scope, ['a', 'b'], undefined)
      expect(floors[0]).toBeUndefined()
      expect(floors[1]?.position).toEqual(at(50))
    })

    test('a watch knows of every raise of its floors', async () => {
      const scope = scopeOf()
      await store.establish(scope, ['a', 'b'], async () => at(100))
      const seen = await store.look(scope, ['a', 'b'], undefined)
      const watch = await store.watch(scope, ['a', 'b'], seen)
      expect(watch?.isCurrent).toBe(true)
      await store.raise(scope, ['c'], at(200))
      expect(watch?.isCurrent).toBe(true)
      await store.raise(scope, ['b'], at(200))
      await vi.waitFor(() => expect(watch?.isCurrent).toBe(false))
      const late = await store.watch(scope, ['a', 'b'], seen)
      expect(late?.isCurrent ?? false).toBe(false)
    })

    shared('values are seen by all, and expire', async () => {
      const scope = scopeOf()
      const another = await fixture.open()
      await store.put(scope, 'k', 'a text\nof "two" lines ✓', 60_000)
      expect((await another.look(scope, [], 'k')).value).toBe('a text\nof "two" lines ✓')
      expect((await another.look(scopeOf(), [], 'k')).value).toBeUndefined()
      await store.put(scope, 'k', 'short', 1)
      await vi.waitFor(async () => expect((await another.look(scope, [], 'k')).value).toBeUndefined())
    })

    shared('one at a time has the right to load, until it is given back or expires', async () => {
      const scope = scopeOf()
      const another = await fixture.open()
      const right = await store.lock(scope, 'k', 60_000)
      expect(right?.value).toBeUndefined()
      expect(await another.lock(scope, 'k', 60_000)).toBeUndefined()
      await store.put(scope, 'k', 'loaded', 60_000)
      await right!.giveBack()
      const short = await another.lock(scope, 'k', 20)
      expect(short?.value).toBe('loaded')
      await vi.waitFor(async () => expect(await store.lock(scope, 'k', 60_000)).toBeDefined())
      // It expired, and is somebody else's now.
      await short!.giveBack()
      expect(await another.lock(scope, 'k', 20)).toBeUndefined()
    })
  })
}
