import type { TenantScope } from '../access/tenant-scope.ts'
import type { Position } from '../database/position.ts'
import type { CacheStore, LoadRight, Look, Watch } from './cache-store.ts'
import { type Floor, laterPosition } from './floor.ts'

export interface MemoryCacheOptions {
  /** Whether no other process changes what is cached: then what this one knows is all there is to know. */
  readonly isAlone: boolean
  /** How late what others replaced may be heard of. */
  readonly noticeBoundMs: number
  readonly maxFloors?: number
  /** Tells the other processes what was raised here; they {@link MemoryCache.forget} it. */
  readonly announce?: (scope: TenantScope, tags: readonly string[]) => void
}

/** A floor, or the place of one that is being made. */
type Place = Floor | symbol

const GENERATION = 'process'

/** Floors in the memory of this process; of others' commits it is told by {@link forget}. Values are with those who read. */
export class MemoryCache implements CacheStore {
  readonly isAuthoritative: boolean
  readonly noticeBoundMs: number
  readonly isUp = true
  readonly #maxFloors: number
  readonly #announce: MemoryCacheOptions['announce']
  readonly #atEnd: (() => void)[] = []
  readonly #places = new Map<string, Place>()
  #nonces = 0

  constructor({ isAlone, noticeBoundMs, maxFloors = 100_000, announce }: MemoryCacheOptions) {
    this.#announce = announce
    this.isAuthoritative = isAlone
    this.noticeBoundMs = isAlone ? 0 : noticeBoundMs
    this.#maxFloors = maxFloors
  }

  onUp(): () => void {
    return () => {}
  }

  async look(scope: TenantScope, tags: readonly string[]): Promise<Look> {
    return { generation: GENERATION, floors: tags.map((tag) => this.#floor(scope, tag)), value: undefined }
  }

  async watch(scope: TenantScope, tags: readonly string[], seen: Look): Promise<Watch | undefined> {
    const isCurrent = (): boolean =>
      tags.every((tag, index) => {
        const floor = seen.floors[index]
        return floor !== undefined && this.#floor(scope, tag)?.nonce === floor.nonce
      })
    return {
      get isCurrent() {
        return isCurrent()
      },
    }
  }

  async establish(
    scope: TenantScope,
    tags: readonly string[],
    position: (tag: string) => Promise<Position>,
  ): Promise<void> {
    await Promise.all(
      tags.map(async (tag) => {
        if (this.#floor(scope, tag) !== undefined) return
        const place = Symbol(tag)
        this.#set(scope, tag, place)
        const at = await position(tag)
        if (this.#places.get(idOf(scope, tag)) === place)
          this.#set(scope, tag, { position: at, nonce: this.#nonce() })
      }),
    )
  }

  async put(): Promise<void> {}

  async raise(scope: TenantScope, tags: readonly string[], position: Position): Promise<void> {
    for (const tag of tags) {
      const floor = this.#floor(scope, tag)
      if (floor === undefined) this.#places.delete(idOf(scope, tag))
      else this.#set(scope, tag, { position: laterPosition(floor.position, position), nonce: this.#nonce() })
    }
    this.#announce?.(scope, tags)
  }

  async lock(): Promise<LoadRight> {
    return { value: undefined, giveBack: async () => {} }
  }

  /** Forgets the floor of a tag, of all tags of a tenant, or everything: others have raised it, or may have. */
  forget(scope?: TenantScope, tag?: string): void {
    if (scope === undefined) this.#places.clear()
    else if (tag !== undefined) this.#places.delete(idOf(scope, tag))
    else for (const id of this.#places.keys()) if (id.startsWith(idOf(scope, ''))) this.#places.delete(id)
  }

  /** Calls this when the cache is closed. */
  onDispose(work: () => void): void {
    this.#atEnd.push(work)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const work of this.#atEnd) work()
    this.forget()
  }

  #floor(scope: TenantScope, tag: string): Floor | undefined {
    const place = this.#places.get(idOf(scope, tag))
    return typeof place === 'symbol' ? undefined : place
  }

  #set(scope: TenantScope, tag: string, place: Place): void {
    const id = idOf(scope, tag)
    this.#places.delete(id)
    this.#places.set(id, place)
    // A floor that is missing costs a miss, nothing else.
    if (this.#places.size > this.#maxFloors) this.#places.delete(this.#places.keys().next().value!)
  }

  #nonce(): string {
    return String(++this.#nonces)
  }
}

function idOf(scope: TenantScope, tag: string): string {
  return `${scope.tenantId} ${tag}`
}
