import type { TenantScope } from '../access/tenant-scope.ts'
import type { Position } from '../database/position.ts'
import type { CacheStore } from './cache-store.ts'
import { OwedRaises } from './owed-raises.ts'

const TRIES = 4
const TRY_AGAIN_MS = 20
const AGAIN_MS = 1_000

/** Raises floors, and remembers what could not be raised until it can. */
export class Raises implements AsyncDisposable {
  readonly #store: CacheStore
  readonly #sleep: (ms: number, signal?: AbortSignal) => Promise<void>
  readonly #owed = new OwedRaises()
  readonly #closing = new AbortController()
  readonly #stopHearing: () => void
  #settling: Promise<void> | undefined

  constructor(store: CacheStore, sleep: (ms: number, signal?: AbortSignal) => Promise<void>) {
    this.#store = store
    this.#sleep = sleep
    this.#stopHearing = store.onUp(() => this.#settleFrom(0))
  }

  /** See {@link Cache.raise}. */
  async raise(scope: TenantScope, tags: readonly string[], position: Position): Promise<void> {
    if (tags.length === 0) return
    for (let tries = 0; tries < TRIES; tries++) {
      try {
        await this.#store.raise(scope, tags, position)
        return
      } catch {
        // Others may still reach what this process does not: the commit is not acknowledged before it has tried for a while.
        if (!this.#store.isUp) break
        await this.#sleep(TRY_AGAIN_MS * 2 ** tries, this.#closing.signal)
      }
    }
    this.#owed.add(scope, tags, position)
    this.#settleFrom(AGAIN_MS)
  }

  /** Whether a commit of this process to any of the tags is not raised yet: the cache does not know of it. */
  owes(scope: TenantScope, tags: readonly string[]): boolean {
    return this.#owed.concerns(scope, tags)
  }

  get owesAny(): boolean {
    return !this.#owed.isEmpty
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stopHearing()
    this.#closing.abort()
    await this.#settling
  }

  #settleFrom(delayMs: number): void {
    if (this.#owed.isEmpty) return
    this.#settling ??= this.#settle(delayMs).finally(() => (this.#settling = undefined))
  }

  async #settle(delayMs: number): Promise<void> {
    const { signal } = this.#closing
    for (let waitMs = delayMs; !this.#owed.isEmpty; waitMs = AGAIN_MS) {
      if (waitMs > 0) await this.#sleep(waitMs, signal)
      if (signal.aborted) return
      await this.#settleAll().catch(() => {})
    }
  }

  async #settleAll(): Promise<void> {
    for (const { scope, tag, position } of this.#owed.list()) {
      await this.#store.raise(scope, [tag], position)
      this.#owed.settle(scope, tag, position)
    }
  }
}
