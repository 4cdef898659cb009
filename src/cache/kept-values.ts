import type { TSchema } from 'typebox'
import { Compile, type Validator } from 'typebox/compile'
import type { TenantScope } from '../access/tenant-scope.ts'
import type { Position } from '../database/position.ts'
import type { CacheRead } from './cache.ts'
import type { CacheStore, Look } from './cache-store.ts'
import { LocalEntries, type LocalEntry } from './local-entries.ts'
import { decodeStoredValue, encodeStoredValue } from './stored-value.ts'

export interface CacheLimits {
  /** What values in the memory of this process may take. */
  readonly localBytes: number
  /** Longer values, as JSON, are not kept. */
  readonly valueLength: number
  readonly ttlSeconds: number
  readonly negativeTtlSeconds: number
  /** How long one process alone may load a value before others do too. */
  readonly lockMs: number
}

export const DEFAULT_CACHE_LIMITS: CacheLimits = {
  localBytes: 32 * 1024 * 1024,
  valueLength: 4 * 1024 * 1024,
  ttlSeconds: 3_600,
  negativeTtlSeconds: 30,
  lockMs: 10_000,
}

export interface KeptValuesOptions {
  readonly store: CacheStore
  readonly limits: CacheLimits
  /** Epoch milliseconds. */
  readonly now: () => number
  readonly random: () => number
}

/** What the steps of one read share. */
export interface Reading<S extends TSchema = TSchema> {
  readonly scope: TenantScope
  readonly wanted: CacheRead<S>
  /** Of the value, in this process. */
  readonly id: string
}

/** Values with the floors that they were read under, in this process and in the store. */
export class KeptValues {
  readonly #options: KeptValuesOptions
  readonly #local: LocalEntries
  readonly #validators = new WeakMap<TSchema, Validator>()

  constructor(options: KeptValuesOptions) {
    this.#options = options
    this.#local = new LocalEntries(options.limits.localBytes)
  }

  /** That of this process. */
  local(id: string): LocalEntry | undefined {
    return this.#local.get(id)
  }

  /** Keeps a value that was read under the floors of a look; what is too long is not kept. */
  async keep(
    reading: Reading,
    look: Look,
    loaded: { value: unknown; positions: readonly Position[]; newestAtMs: number },
  ): Promise<void> {
    const { store, limits, now } = this.#options
    const json = loaded.value === undefined ? undefined : JSON.stringify(loaded.value)
    if ((json?.length ?? 0) > limits.valueLength) return
    const expiresAtMs = now() + this.#lifetimeMs(reading, json === undefined)
    const { value, positions, newestAtMs } = loaded
    const entry = entryOf(reading, look, { value, positions: () => positions, newestAtMs, json, expiresAtMs })
    this.keepLocally(reading, entry, look)
    try {
      const text = await encodeStoredValue({ ...entry, positions, json })
      const ttlMs = Math.ceil(expiresAtMs - now())
      if (ttlMs > 0) await store.put(reading.scope, reading.wanted.key, text, ttlMs)
    } catch {
      // It is loaded again then.
    }
  }

  keepLocally({ id, scope }: Reading, entry: LocalEntry, look: Look): void {
    if (this.#local.set(id, entry)) this.watch(scope, entry, look)
  }

  /** Has the store tell when the floors of an entry change. */
  watch(scope: TenantScope, entry: LocalEntry, look: Look): void {
    if (entry.watch?.isCurrent === true) return
    this.#options.store.watch(scope, entry.tags, look).then(
      (watch) => (entry.watch = watch),
      // Then its age alone decides.
      () => {},
    )
  }

  /** The value of a look, where it is under the floors of that look, is not too old, and is what it should be. */
  async decode(reading: Reading, look: Look, startedAtMs: number): Promise<LocalEntry | undefined> {
    const header = look.value === undefined ? undefined : decodeStoredValue(look.value)
    if (header === undefined || !isUnder(header, look) || header.expiresAtMs <= startedAtMs) return undefined
    try {
      const json = await header.json()
      const value: unknown = json === undefined ? undefined : JSON.parse(json)
      if (value !== undefined && !this.#fits(reading.wanted.schema, value)) return undefined
      const { positions, expiresAtMs } = header
      return entryOf(reading, look, { value, positions, newestAtMs: startedAtMs, json, expiresAtMs })
    } catch {
      return undefined
    }
  }

  /** Jittered, so that what was loaded together is not loaded together again. */
  #lifetimeMs({ wanted }: Reading, isNegative: boolean): number {
    const { limits, random } = this.#options
    const ttl = Math.min(wanted.ttlSeconds ?? Number.POSITIVE_INFINITY, limits.ttlSeconds)
    return 1_000 * (isNegative ? Math.min(ttl, limits.negativeTtlSeconds) : ttl) * (0.8 + 0.2 * random())
  }

  #fits(schema: TSchema, value: unknown): boolean {
    let validator = this.#validators.get(schema)
    if (validator === undefined) {
      validator = Compile(schema)
      this.#validators.set(schema, validator)
    }
    return validator.Check(value)
  }
}

/** Whether every floor is there. */
export function isWhole(look: Look): boolean {
  return look.generation !== '' && look.floors.every((floor) => floor !== undefined)
}

/** Whether the floors of a look are exactly those that something was read under. */
export function isUnder(kept: Pick<LocalEntry, 'generation' | 'nonces'>, look: Look): boolean {
  return (
    isWhole(look) &&
    kept.generation === look.generation &&
    kept.nonces.length === look.floors.length &&
    kept.nonces.every((nonce, index) => nonce === look.floors[index]!.nonce)
  )
}

function entryOf(
  { wanted }: Reading,
  look: Look,
  read: {
    value: unknown
    json: string | undefined
    positions: () => readonly Position[]
    newestAtMs: number
    expiresAtMs: number
  },
): LocalEntry {
  return {
    value: read.value,
    generation: look.generation,
    nonces: look.floors.map((floor) => floor!.nonce),
    tags: wanted.tags,
    positions: read.positions,
    expiresAtMs: read.expiresAtMs,
    bytes: 2 * (read.json?.length ?? 0),
    validatedAtMs: read.newestAtMs,
    watch: undefined,
  }
}
