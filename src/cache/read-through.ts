import type { Static, TSchema } from 'typebox'
import type { TenantScope } from '../access/tenant-scope.ts'
import type { Freshness, Position } from '../database/position.ts'
import type { Cache, CacheCounts, CacheRead } from './cache.ts'
import type { CacheStore, Look } from './cache-store.ts'
import { covers, freshnessAfter, latestPositions } from './floor.ts'
import { isUnder, isWhole, KeptValues, type KeptValuesOptions, type Reading } from './kept-values.ts'
import { LoadFlight } from './load-flight.ts'
import type { LocalEntry } from './local-entries.ts'
import { Raises } from './raises.ts'

export interface ReadThroughOptions extends KeptValuesOptions {
  /** Where the primary of the database that a tag is about stands now. */
  readonly position: (tag: string) => Promise<Position>
  /** Resolves after so many milliseconds, or at once when aborted. */
  readonly sleep: (ms: number, signal?: AbortSignal) => Promise<void>
}

/** A value that another process has loaded meanwhile. */
interface Found {
  readonly value: unknown
}

const ROUNDS = 3
/** Of how old a value may be, so much it may be when it is loaded; for as long as the rest it serves others too. */
const LOADED_SHARE = 0.5

/** The cache over any {@link CacheStore}: serves a value only while its floors are exactly the current ones. */
export class ReadThrough implements Cache {
  readonly counts: CacheCounts = { local: 0, shared: 0, stale: 0, loaded: 0, bypassed: 0 }
  protected readonly options: ReadThroughOptions
  protected readonly store: CacheStore
  protected readonly kept: KeptValues
  readonly #raises: Raises
  readonly #flights = new Map<string, LoadFlight>()
  readonly #establishing = new Map<string, Promise<void>>()

  constructor(options: ReadThroughOptions) {
    this.options = options
    this.store = options.store
    this.kept = new KeptValues(options)
    this.#raises = new Raises(options.store, options.sleep)
  }

  async read<S extends TSchema>(scope: TenantScope, wanted: CacheRead<S>): Promise<Static<S> | undefined> {
    wanted.signal?.throwIfAborted()
    const reading = { scope, wanted, id: `${scope.tenantId} ${wanted.key}` }
    if (this.#raises.owes(scope, wanted.tags)) return (await this.#bypass(reading)) as Static<S> | undefined
    const entry = this.kept.local(reading.id)
    if (entry !== undefined && this.#suffices(entry, wanted.freshness)) {
      this.counts.local++
      return entry.value as Static<S> | undefined
    }
    return (await this.#readShared(reading, entry)) as Static<S> | undefined
  }

  /** Whether a commit of this process is acknowledged and could not be told to the others yet. */
  get owesRaises(): boolean {
    return this.#raises.owesAny
  }

  raise(scope: TenantScope, tags: readonly string[], position: Position): Promise<void> {
    return this.#raises.raise(scope, tags, position)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#raises[Symbol.asyncDispose]()
    await this.store[Symbol.asyncDispose]()
  }

  /** Whether a value of this process serves without a look at what processes share. */
  #suffices(entry: LocalEntry, freshness: Freshness): boolean {
    const now = this.options.now()
    if (freshness === 'latest' || entry.expiresAtMs <= now) return false
    if ('after' in freshness && !covers(entry.positions(), freshness.after)) return false
    const { maxLagMs } = freshness
    return (
      maxLagMs === undefined ||
      now - entry.validatedAtMs <= maxLagMs ||
      (maxLagMs >= this.store.noticeBoundMs && entry.watch?.isCurrent === true)
    )
  }

  async #readShared(reading: Reading, entry: LocalEntry | undefined): Promise<unknown> {
    const startedAtMs = this.options.now()
    let look = await this.#look(reading, entry === undefined)
    if (look !== undefined && entry !== undefined && this.store.isAuthoritative) {
      if (isUnder(entry, look) && entry.expiresAtMs > startedAtMs) {
        entry.validatedAtMs = Math.max(entry.validatedAtMs, startedAtMs)
        this.kept.watch(reading.scope, entry, look)
        this.counts.local++
        return entry.value
      }
      // Another process may have read the new one already.
      look = await this.#look(reading, true)
    }
    if (look === undefined) return this.#bypass(reading)
    const found = this.#loadedMeanwhile(reading, look) ?? (await this.#find(reading, look, startedAtMs))
    if (found !== undefined) return found.value
    const flight = this.#flightFor(reading, look, startedAtMs)
    if (entry !== undefined && mayServeStale(reading, entry, look)) {
      flight.keepOn()
      this.counts.stale++
      return entry.value
    }
    return flight.join(reading.wanted.signal)
  }

  /** Looks floors up, after those that are missing were made; `undefined` where that cannot be done now. */
  async #look({ scope, wanted }: Reading, withValue: boolean): Promise<Look | undefined> {
    const { key, tags, signal } = wanted
    try {
      for (let round = 0; round < ROUNDS; round++) {
        const look = await this.store.look(scope, tags, withValue ? key : undefined, signal)
        if (isWhole(look)) return look
        await this.#establish(scope, tags)
      }
    } catch {
      signal?.throwIfAborted()
    }
    return undefined
  }

  /** Together with others of this process; each looks again afterwards: floors that were taken before a read began prove nothing to it. */
  #establish(scope: TenantScope, tags: readonly string[]): Promise<void> {
    const id = `${scope.tenantId} ${tags.join(' ')}`
    const known = this.#establishing.get(id)
    if (known !== undefined) return known
    const work = this.store
      .establish(scope, tags, this.options.position)
      .finally(() => this.#establishing.delete(id))
    this.#establishing.set(id, work)
    return work
  }

  /** The value that is shared, where its floors are those of the look. */
  async #find(reading: Reading, look: Look, startedAtMs: number): Promise<Found | undefined> {
    if (!this.store.isAuthoritative) return undefined
    const found = await this.kept.decode(reading, look, startedAtMs)
    if (found === undefined) return undefined
    this.kept.keepLocally(reading, found, look)
    this.counts.shared++
    return found
  }

  /** What a load of this process has brought while these floors were looked up. */
  #loadedMeanwhile({ id }: Reading, look: Look): Found | undefined {
    const entry = this.store.isAuthoritative ? this.kept.local(id) : undefined
    return entry !== undefined && entry.expiresAtMs > this.options.now() && isUnder(entry, look)
      ? entry
      : undefined
  }

  #flightFor(reading: Reading, look: Look, lookedAtMs: number): LoadFlight {
    const known = this.#flights.get(reading.id)
    const { freshness } = reading.wanted
    if (known?.isWanted === true && this.canJoin(known, look, freshness)) return known
    const after = typeof freshness === 'object' && 'after' in freshness ? [freshness.after] : []
    const positions = latestPositions([...look.floors.map((floor) => floor!.position), ...after])
    const flight = new LoadFlight(signatureOf(look), positions, this.#newestAtMs(freshness, lookedAtMs))
    this.#flights.set(reading.id, flight)
    flight.start(async () => {
      try {
        return await this.#loadAlone(reading, look, flight)
      } finally {
        if (this.#flights.get(reading.id) === flight) this.#flights.delete(reading.id)
      }
    })
    return flight
  }

  /** Whether a load that is under way answers a reader who has seen these floors since it began to read. */
  protected canJoin(flight: LoadFlight, look: Look, freshness: Freshness): boolean {
    if (this.store.isAuthoritative) return flight.signature === signatureOf(look)
    if (freshness === 'latest') return false
    if ('after' in freshness && !covers(flight.positions, freshness.after)) return false
    const { maxLagMs } = freshness
    return maxLagMs === undefined || this.options.now() - flight.newestAtMs <= maxLagMs
  }

  /** Since when a value that is loaded now misses nothing. */
  #newestAtMs(freshness: Freshness, lookedAtMs: number): number {
    if (this.store.isAuthoritative || freshness === 'latest') return lookedAtMs
    // Of floors that do not show every commit, a value that is only new enough for a position says nothing of others.
    if (freshness.maxLagMs === undefined) return Number.NEGATIVE_INFINITY
    return lookedAtMs - freshness.maxLagMs * LOADED_SHARE
  }

  async #loadAlone(reading: Reading, look: Look, flight: LoadFlight): Promise<unknown> {
    const right = await this.#takeRight(reading, look, flight)
    if (right !== undefined && !('giveBack' in right)) return right.value
    let keeping: Promise<void> | undefined
    try {
      const { value, kept } = await this.load(reading, look, flight)
      this.counts.loaded++
      keeping = kept
      return value
    } finally {
      // Nobody waits for it to be kept; and who takes the right next finds it.
      void Promise.resolve(keeping)
        .then(() => right?.giveBack())
        .catch(() => {})
    }
  }

  /** Loads a value under floors that were looked up before it, and keeps it. */
  protected async load(
    reading: Reading,
    look: Look,
    flight: LoadFlight,
  ): Promise<{ value: unknown; kept: Promise<void> }> {
    const value: unknown = await reading.wanted.load(this.loadFreshness(reading, flight), flight.signal)
    const { positions, newestAtMs } = flight
    return { value, kept: this.kept.keep(reading, look, { value, positions, newestAtMs }) }
  }

  /** What the database is asked for: nothing that is older than the floors, or than the caller wants. */
  protected loadFreshness({ wanted }: Reading, { positions }: LoadFlight): Freshness {
    const { freshness } = wanted
    const after = freshnessAfter(positions)
    if (this.store.isAuthoritative || after === 'latest') return after
    // Floors that do not show every commit say nothing about what is new.
    if (freshness === 'latest') return 'latest'
    const { maxLagMs } = freshness
    return maxLagMs === undefined ? after : { ...after, maxLagMs: maxLagMs * LOADED_SHARE }
  }

  /**
   * The right to load, or the value. Who does not get it waits for the value, with a bound, and loads after all where the one who has it
   * died. `undefined`: nobody knows who has it.
   */
  async #takeRight(
    reading: Reading,
    seen: Look,
    flight: LoadFlight,
  ): Promise<Found | { giveBack: () => Promise<void> } | undefined> {
    const { scope, wanted } = reading
    const { now, sleep, random } = this.options
    const { lockMs } = this.options.limits
    const until = now() + lockMs
    try {
      for (let waitMs = 10; ; waitMs = Math.min(100, waitMs * 1.5)) {
        const right = await this.store.lock(scope, wanted.key, lockMs)
        if (right !== undefined) {
          // Somebody may have had it, loaded, and given it back since the floors were looked up.
          const found = await this.#find(reading, { ...seen, value: right.value }, flight.newestAtMs)
          if (found === undefined) return right
          right.giveBack().catch(() => {})
          return found
        }
        if (now() >= until) return undefined
        await sleep(waitMs * (0.5 + random()), flight.signal)
        const startedAtMs = now()
        const look = await this.store.look(scope, wanted.tags, wanted.key, flight.signal)
        const found = await this.#find(reading, look, startedAtMs)
        if (found === undefined) continue
        // Those who join from now on have seen these floors too.
        flight.signature = signatureOf(look)
        return found
      }
    } catch {
      flight.signal.throwIfAborted()
      return undefined
    }
  }

  /** Past the cache: nothing is kept, since nothing is known of floors. */
  async #bypass({ wanted }: Reading): Promise<unknown> {
    this.counts.bypassed++
    return wanted.load(wanted.freshness, wanted.signal ?? new AbortController().signal)
  }
}

function mayServeStale({ wanted }: Reading, entry: LocalEntry, look: Look): boolean {
  const hasPosition = typeof wanted.freshness === 'object' && 'after' in wanted.freshness
  return wanted.allowStale === true && !hasPosition && entry.generation === look.generation
}

function signatureOf(look: Look): string {
  return `${look.generation} ${look.floors.map((floor) => floor?.nonce).join(' ')}`
}
