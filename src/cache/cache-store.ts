import type { TenantScope } from '../access/tenant-scope.ts'
import type { Position } from '../database/position.ts'
import type { Floor } from './floor.ts'

/** What is known of tags, and kept under a key, at one moment. */
export interface Look {
  /** Values and floors of another generation are worth nothing; empty where there is none. */
  readonly generation: string
  /** In the order of the tags that were asked for; `undefined` where a floor is missing. */
  readonly floors: readonly (Floor | undefined)[]
  readonly value: string | undefined
}

/** Whether floors are still what they were, as far as this process has heard. */
export interface Watch {
  readonly isCurrent: boolean
}

/** The right to load a value, until it is given back or expires. */
export interface LoadRight {
  /** What was kept under the key when the right was taken. */
  readonly value: string | undefined
  giveBack(): Promise<void>
}

/** Where floors and values are. Every call may fail at any time, and what failed may have been done all the same. */
export interface CacheStore extends AsyncDisposable {
  /** Whether {@link look} shows every commit that was acknowledged, by whatever process, before it was called. */
  readonly isAuthoritative: boolean
  /** How late a {@link Watch} may know. */
  readonly noticeBoundMs: number
  /** Whether it is worth trying. */
  readonly isUp: boolean
  /** Hears when it has become worth trying again. Answers how to stop. */
  onUp(listener: () => void): () => void
  /** All at one moment, in one round trip. Without a key no value is looked for. */
  look(
    scope: TenantScope,
    tags: readonly string[],
    key: string | undefined,
    signal?: AbortSignal,
  ): Promise<Look>
  /** Watches floors that were looked up; `undefined` where they have changed since, or cannot be watched. */
  watch(scope: TenantScope, tags: readonly string[], seen: Look): Promise<Watch | undefined>
  /**
   * Makes the floors that are missing. Each is at a position that `position` answers after it was found missing, and is not made where anything
   * has happened to its place since: so it is no lower than any commit that was raised before, even where floors vanish at any time.
   */
  establish(
    scope: TenantScope,
    tags: readonly string[],
    position: (tag: string) => Promise<Position>,
    signal?: AbortSignal,
  ): Promise<void>
  put(scope: TenantScope, key: string, value: string, ttlMs: number): Promise<void>
  /** Gives floors that exist a new nonce and the later position. What does not exist stays so: its reader begins with a newer position. */
  raise(scope: TenantScope, tags: readonly string[], position: Position): Promise<void>
  /** Takes the right to load a value, among processes; `undefined` where another has it. */
  lock(scope: TenantScope, key: string, ttlMs: number): Promise<LoadRight | undefined>
}
