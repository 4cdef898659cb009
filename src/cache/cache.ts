import type { Static, TSchema } from 'typebox'
import type { TenantScope } from '../access/tenant-scope.ts'
import type { Freshness, Position } from '../database/position.ts'

/** What is read through the cache, and how it is loaded where it is not there. */
export interface CacheRead<S extends TSchema> {
  /** What the value is of: everything it depends on, and a number that changes when its meaning does. */
  readonly key: string
  /** What a commit must touch to change the value, {@link isCacheTag} each. */
  readonly tags: readonly string[]
  /** What the value must look like: kept by another version of the product, it may not. */
  readonly schema: S
  /**
   * `latest`: as new as every commit that was acknowledged before this call. A position: no older than that; values of this process that are as
   * new serve without a look at what processes share. A bound: values of this process serve until they are as old, or are said to be replaced.
   */
  readonly freshness: Freshness
  /** Reads the value, no older than asked. `undefined`: there is none, which is kept too, for a shorter time. */
  load(freshness: Freshness, signal: AbortSignal): Promise<Static<S> | undefined>
  /** How long it may be kept; never longer than the cache's own time. */
  readonly ttlSeconds?: number | undefined
  /** A value that was replaced serves once more while it is loaded anew. Without meaning where a position is asked for. */
  readonly allowStale?: boolean | undefined
  readonly signal?: AbortSignal | undefined
}

/** How often reads were answered from where. */
export interface CacheCounts {
  /** From the memory of this process. */
  local: number
  /** From what processes share. */
  shared: number
  /** What was replaced, once more, while it was loaded anew. */
  stale: number
  loaded: number
  /** Reads that went to the database because nothing could be known of floors. */
  bypassed: number
}

/** Keeps what is dear to compute, and knows which commits replaced it. */
export interface Cache extends AsyncDisposable {
  /** Since it was opened. */
  readonly counts: Readonly<Record<keyof CacheCounts, number>>
  /** A kept value, or a fresh one. It is shared with other callers: not to be changed. @throws what `load` throws; the signal's reason. */
  read<S extends TSchema>(scope: TenantScope, wanted: CacheRead<S>): Promise<Static<S> | undefined>
  /**
   * Says that a commit replaced what carries these tags: to be awaited after it and before it is acknowledged. Never throws; what could not be
   * said is said again as soon as it can be.
   */
  raise(scope: TenantScope, tags: readonly string[], position: Position): Promise<void>
}

/** Whether a text may be a tag: it travels in keys and notices. */
export function isCacheTag(text: string): boolean {
  return /^[\w:.-]{1,200}$/.test(text)
}
