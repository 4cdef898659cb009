import type { Static, TSchema } from 'typebox'
import type { TenantScope } from '../../src/access/tenant-scope.ts'
import type { Cache, CacheRead } from '../../src/cache/cache.ts'
import type { Look } from '../../src/cache/cache-store.ts'
import { isWhole, type Reading } from '../../src/cache/kept-values.ts'
import type { LoadFlight } from '../../src/cache/load-flight.ts'
import { ReadThrough, type ReadThroughOptions } from '../../src/cache/read-through.ts'
import type { Freshness, Position } from '../../src/database/position.ts'
import { MODEL_SCRIPTS, type ModelScripts, later, read, write } from './model-scripts.ts'
import type { WorldOptions } from './world-options.ts'
import { KEYS } from './world.ts'

/** What everybody writes first: looks, loads, keeps; and forgets what a commit touched, once it has committed. */
class CacheAside implements Cache {
  readonly counts = { local: 0, shared: 0, stale: 0, loaded: 0, bypassed: 0 }
  readonly #store: ReadThroughOptions['store']

  constructor({ store }: ReadThroughOptions) {
    this.#store = store
  }

  async read<S extends TSchema>(scope: TenantScope, wanted: CacheRead<S>): Promise<Static<S> | undefined> {
    const signal = new AbortController().signal
    try {
      const { value } = await this.#store.look(scope, [], wanted.key)
      if (value !== undefined && value !== '') return JSON.parse(value) as Static<S>
    } catch {
      return wanted.load(wanted.freshness, signal)
    }
    const loaded = await wanted.load(wanted.freshness, signal)
    await this.#store.put(scope, wanted.key, JSON.stringify(loaded), 1_000).catch(() => {})
    return loaded
  }

  async raise(scope: TenantScope, tags: readonly string[]): Promise<void> {
    const touched = Object.keys(KEYS).filter((key) => KEYS[key]!.some((tag) => tags.includes(tag)))
    await Promise.all(touched.map((key) => this.#store.put(scope, key, '', 1).catch(() => {})))
  }

  async [Symbol.asyncDispose](): Promise<void> {}
}

/** Takes the floors when the value is there, as if they had been seen before. */
class FloorsAfterwards extends ReadThrough {
  protected override async load(
    reading: Reading,
    before: Look,
    flight: LoadFlight,
  ): Promise<{ value: unknown; kept: Promise<void> }> {
    const { wanted, scope } = reading
    const value: unknown = await wanted.load(this.loadFreshness(reading, flight), flight.signal)
    const look = await this.store.look(scope, wanted.tags, undefined).catch(() => before)
    const { positions, newestAtMs } = flight
    const kept = isWhole(look)
      ? this.kept.keep(reading, look, { value, positions, newestAtMs })
      : Promise.resolve()
    return { value, kept }
  }
}

/** Loads from whatever server there is, however old. */
class FloorsIgnored extends ReadThrough {
  protected override loadFreshness(): Freshness {
    return { after: { systemId: '7', timeline: 1, lsn: '0/0' } }
  }
}

/** Takes a value for as new as its load, which may have been of a replica. */
class AsNewAsItsLoad extends ReadThrough {
  protected override async load(
    reading: Reading,
    look: Look,
    flight: LoadFlight,
  ): Promise<{ value: unknown; kept: Promise<void> }> {
    const newestAtMs = this.options.now()
    const value: unknown = await reading.wanted.load(this.loadFreshness(reading, flight), flight.signal)
    const { positions } = flight
    return { value, kept: this.kept.keep(reading, look, { value, positions, newestAtMs }) }
  }
}

/** Has only a bound hold where there is one, whatever the floors say. */
class BoundAlone extends ReadThrough {
  protected override loadFreshness(reading: Reading, flight: LoadFlight): Freshness {
    const { freshness } = reading.wanted
    const isBounded = freshness !== 'latest' && freshness.maxLagMs !== undefined
    return isBounded ? { maxLagMs: freshness.maxLagMs / 2 } : super.loadFreshness(reading, flight)
  }
}

/** Tries once to raise, and forgets about it. */
class OwesNothing extends ReadThrough {
  override async raise(scope: TenantScope, tags: readonly string[], position: Position): Promise<void> {
    await this.store.raise(scope, tags, position).catch(() => {})
  }
}

/** Waits for whatever load is under way. */
class JoinsAnyFlight extends ReadThrough {
  protected override canJoin(): boolean {
    return true
  }
}

/** Sets a floor wherever there is none, whatever has been there meanwhile. */
const setsIfAbsent: ModelScripts = {
  ...MODEL_SCRIPTS,
  claim: (held, keys, values, nowMs, replicationId) => {
    const places = new Set(keys.slice(1).filter((key) => read(held, key, nowMs) === undefined))
    const answer = MODEL_SCRIPTS.claim(held, keys, values, nowMs, replicationId)
    for (const key of places) held.delete(key)
    return answer
  },
  fix: (held, [generation, ...floors], [expected, forMs, ...made], nowMs) => {
    if (read(held, generation!, nowMs) !== expected) return 0
    floors.forEach((key, index) => {
      if (read(held, key, nowMs) === undefined) write(held, key, made[2 * index + 1]!, nowMs, forMs!)
    })
    return 1
  },
}

/** Raises a floor that is missing to where the commit was, although a later one may have been there before. */
const raisesWhatIsMissing: ModelScripts = {
  ...MODEL_SCRIPTS,
  raise: (held, keys, [said, forMs, ...nonces], nowMs) => {
    const generation = [...held].find(([key]) => key.endsWith(':gen'))?.[1].value.split('|')[0]
    keys.forEach((key, index) => {
      const [of = generation, position = '?'] = read(held, key, nowMs)?.split('|') ?? []
      const at = position === '?' ? said! : later(position, said!)
      write(held, key, `${of}|${at}|${nonces[index]}`, nowMs, forMs!)
    })
    return 1
  },
}

/** Ways of doing it wrong, each of which the harness must find stale. */
export const WANTING: Readonly<Record<string, Partial<WorldOptions>>> = {
  'a plain cache-aside': { open: (options) => new CacheAside(options) },
  'without rule 1: commits are acknowledged before floors are raised': { raisesLate: true },
  'without rule 2: floors are taken after the value was read': {
    open: (options) => new FloorsAfterwards(options),
  },
  'without rule 2: values are read from replicas behind the floors': {
    open: (options) => new FloorsIgnored(options),
  },
  'without rule 3: missing floors are invented': { inventsFloors: true },
  'without rule 4: a lossy failover starts no new generation': { hidesFailOver: true },
  'without rule 5: floors may vanish, and are set where there is none': {
    scripts: setsIfAbsent,
    disturbances: ['outbox', 'evict'],
  },
  'without rule 5: floors may vanish, and are raised where there is none': {
    scripts: raisesWhatIsMissing,
    disturbances: ['evict'],
    disturbShare: 0.1,
    commitShare: 0.4,
  },
  'a value counts as new as its load': {
    open: (options) => new AsNewAsItsLoad(options),
    disturbShare: 0,
    commitShare: 0.2,
    boundedShare: 0.5,
  },
  'a standby that took the place of another is taken for it': { trustsRuns: true },
  'a bound takes the place of the floors': {
    store: 'memory of several',
    open: (options) => new BoundAlone(options),
  },
  'what could not be raised is forgotten': {
    open: (options) => new OwesNothing(options),
    disturbances: ['lose answers'],
    disturbShare: 0.01,
  },
  'who is late joins any load that is under way': { open: (options) => new JoinsAnyFlight(options) },
  'outages that may have swallowed raises are not noticed': {
    hidesOutages: true,
    disturbances: ['outbox', 'outage'],
  },
}
