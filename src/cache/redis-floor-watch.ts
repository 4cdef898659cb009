import type { RedisTracking } from '../redis/connection.ts'
import type { Watch } from './cache-store.ts'

/** So many that forgetting all of them at once is rare. */
const MAX_KEYS = 50_000

class KeyWatch implements Watch {
  isCurrent = true
}

/** Knows, by what Redis says of its own accord, whether keys that were read here still are what they were. */
export class RedisFloorWatch {
  readonly #tracking: RedisTracking
  readonly #watches = new Map<string, Set<KeyWatch>>()
  readonly #keys = new WeakMap<KeyWatch, readonly string[]>()
  readonly #stopHearing: () => void

  constructor(tracking: RedisTracking) {
    this.#tracking = tracking
    this.#stopHearing = tracking.onInvalidate((key) => this.#end(key))
  }

  /** Watches keys from the moment at which they are read; `undefined` where they are not as `isAsSeen` wants them. */
  async watch(
    keys: readonly string[],
    isAsSeen: (values: (string | null)[]) => boolean,
  ): Promise<Watch | undefined> {
    // Of values that have made room for others, nobody says that they did.
    if (this.#watches.size > MAX_KEYS) this.#end(null)
    const watch = new KeyWatch()
    this.#keys.set(watch, keys)
    // Before they are read: the notice of a change may be handled before the answer that it follows.
    for (const key of keys) {
      const watches = this.#watches.get(key)
      if (watches === undefined) this.#watches.set(key, new Set([watch]))
      else watches.add(watch)
    }
    try {
      const values = await this.#tracking.read((client) => client.mGet([...keys]))
      if (watch.isCurrent && isAsSeen(values)) return watch
    } catch (error) {
      this.#forget(watch)
      throw error
    }
    this.#forget(watch)
    return undefined
  }

  stop(): void {
    this.#stopHearing()
    this.#end(null)
  }

  #end(key: string | null): void {
    const ended =
      key === null
        ? [...this.#watches.values()].flatMap((all) => [...all])
        : [...(this.#watches.get(key) ?? [])]
    for (const watch of ended) this.#forget(watch)
  }

  #forget(watch: KeyWatch): void {
    watch.isCurrent = false
    for (const key of this.#keys.get(watch) ?? []) {
      const watches = this.#watches.get(key)
      watches?.delete(watch)
      if (watches?.size === 0) this.#watches.delete(key)
    }
  }
}
