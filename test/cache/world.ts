import { Type } from 'typebox'
import type { Cache } from '../../src/cache/cache.ts'
import type { CacheStore } from '../../src/cache/cache-store.ts'
import { DEFAULT_CACHE_LIMITS } from '../../src/cache/kept-values.ts'
import { MemoryCache } from '../../src/cache/memory-cache.ts'
import { ReadThrough, type ReadThroughOptions } from '../../src/cache/read-through.ts'
import { RedisCache } from '../../src/cache/redis-cache.ts'
import type { Freshness, Position } from '../../src/database/position.ts'
import { type Cells, commitAt, ModelDatabase, toPosition } from './model-database.ts'
import { type ModelConnection, ModelRedis, ModelServer } from './model-redis.ts'
import { Schedule } from './schedule.ts'
import type { Outcome, Staleness, WorldOptions } from './world-options.ts'

interface Process {
  readonly index: number
  readonly cache: Cache
  readonly store: CacheStore
  readonly connection: ModelConnection | undefined
  /** Whether it has crashed. */
  isGone: boolean
}

const SCOPE = { tenantId: 'tenant' }
const CELLS = ['a', 'b', 'c', 'd']
/** What each key is read of. */
export const KEYS: Readonly<Record<string, readonly string[]>> = {
  one: ['a'],
  two: ['a', 'b'],
  three: ['b', 'c', 'd'],
}
const Schema = Type.Record(Type.String(), Type.Integer())
const NOTICE_BOUND_MS = 50
const GONE = new Error('gone')

/** Processes with one cache between them, in the worst of all orders. */
export class World {
  readonly #options: WorldOptions
  readonly #schedule: Schedule
  readonly #database: ModelDatabase
  readonly #redis: ModelRedis
  readonly #processes: Process[] = []
  readonly #stale: Staleness[] = []
  readonly #errors: unknown[] = []
  /** Commits whose raise the outbox still owes. */
  readonly #outbox: { readonly cells: readonly string[] }[] = []
  /** Acknowledged commits by cell: when, and which. */
  readonly #acknowledged = new Map<string, { readonly atMs: number; readonly commit: number }[]>()
  #former: ModelServer | undefined
  #newestAcknowledged = 0
  #servers = 0
  #nonces = 0
  #step = 0
  #reads = 0
  #commits = 0
  #hits = 0

  constructor(options: WorldOptions) {
    this.#options = options
    this.#schedule = new Schedule(options.seed)
    this.#database = new ModelDatabase(this.#schedule, 2, options.trustsRuns)
    this.#redis = new ModelRedis(this.#schedule, options.scripts)
    this.#redis.isSilent = options.hidesOutages === true
    const count = options.store === 'memory' ? 1 : 3
    for (let index = 0; index < count; index++) this.#processes.push(this.#startProcess(index))
  }

  /** Runs so many steps. */
  async run(): Promise<Outcome> {
    const { steps, disturbShare = 0.03 } = this.#options
    for (this.#step = 0; this.#step < steps; this.#step++) {
      const { waiting } = this.#schedule
      if (waiting < 3 || (waiting < 15 && this.#schedule.happens(0.25))) this.#begin()
      if (this.#schedule.happens(0.03)) this.#database.replay()
      if (this.#schedule.happens(disturbShare)) this.#disturb()
      await this.#schedule.step()
    }
    if (this.#errors.length > 0) throw new AggregateError(this.#errors)
    return {
      stale: this.#stale,
      reads: this.#reads,
      hits: this.#hits,
      commits: this.#commits,
      standbyReads: this.#database.standbyReads,
    }
  }

  #begin(): void {
    const process = this.#schedule.pick(this.#processes)
    const { commitShare = 0.04 } = this.#options
    const work = this.#schedule.happens(commitShare) ? this.#commit(process) : this.#read(process)
    work.catch((error: unknown) => {
      if (error !== GONE) this.#errors.push(error)
    })
  }

  async #commit(process: Process): Promise<void> {
    const cells = this.#schedule.happens(0.5)
      ? [this.#schedule.pick(CELLS)]
      : [this.#schedule.pick(CELLS), this.#schedule.pick(CELLS)]
    await this.#schedule.pause()
    const commit = this.#database.commit(cells)
    this.#commits++
    this.#outbox.push({ cells })
    await this.#schedule.pause()
    // A process may die here: nothing was acknowledged.
    if (process.isGone || this.#schedule.happens(0.1)) return
    if (this.#options.raisesLate !== true) {
      await process.cache.raise(SCOPE, cells, toPosition(commit))
      this.#notify(process, cells)
    }
    if (process.isGone) return
    this.#newestAcknowledged = Math.max(this.#newestAcknowledged, commit)
    for (const cell of cells) {
      const known = this.#acknowledged.get(cell) ?? []
      this.#acknowledged.set(cell, [...known, { atMs: this.#schedule.nowMs, commit }])
    }
  }

  /** Tells the other processes, later; now and then it is lost with its connection, and they know that they have missed something. */
  #notify(from: Process, cells: readonly string[]): void {
    for (const process of this.#processes) {
      const { store } = process
      if (process === from || !(store instanceof MemoryCache)) continue
      const saidMs = this.#schedule.nowMs
      void this.#schedule.pause().then(() => {
        if (this.#schedule.nowMs - saidMs > NOTICE_BOUND_MS || this.#schedule.happens(0.1)) store.forget()
        else for (const cell of cells) store.forget(SCOPE, cell)
      })
    }
  }

  async #read(process: Process): Promise<void> {
    const key = this.#schedule.pick(Object.keys(KEYS))
    const cells = KEYS[key]!
    const freshness = this.#chooseFreshness()
    const allowStale = this.#schedule.happens(0.05)
    const wanted = this.#wanted(cells, freshness)
    const abort = new AbortController()
    if (this.#schedule.happens(0.05)) void this.#schedule.pause().then(() => abort.abort(GONE))
    const loads = this.#database.loads
    const seen = (await process.cache.read(SCOPE, {
      key,
      tags: cells,
      schema: Schema,
      freshness,
      allowStale,
      ttlSeconds: 3,
      signal: abort.signal,
      load: (how) => this.#database.read(cells, how),
    })) as Cells
    this.#reads++
    if (this.#database.loads === loads) this.#hits++
    if (allowStale || process.isGone) return
    for (const [cell, least] of wanted)
      if (!(seen[cell]! >= least))
        this.#stale.push({
          step: this.#step,
          process: process.index,
          freshness,
          cell,
          seen: seen[cell]!,
          wanted: least,
        })
  }

  #chooseFreshness(): Freshness {
    const { boundedShare = 0.15 } = this.#options
    if (this.#schedule.happens(boundedShare)) return { maxLagMs: this.#schedule.pick([5, 100, 1_000]) }
    if (this.#schedule.happens(0.6)) return 'latest'
    return { after: toPosition(this.#newestAcknowledged) }
  }

  /** Of each cell, the oldest commit that a read which begins now may see. */
  #wanted(cells: readonly string[], freshness: Freshness): [string, number][] {
    return cells.map((cell) => {
      const known = this.#acknowledged.get(cell) ?? []
      if (freshness === 'latest') return [cell, Math.max(0, ...known.map(({ commit }) => commit))]
      if ('after' in freshness)
        return [
          cell,
          Math.max(
            0,
            ...known.map(({ commit }) => commit).filter((commit) => commit <= commitAt(freshness.after)),
          ),
        ]
      const until =
        this.#schedule.nowMs -
        freshness.maxLagMs -
        (freshness.maxLagMs < NOTICE_BOUND_MS ? 0 : NOTICE_BOUND_MS)
      return [cell, Math.max(0, ...known.filter(({ atMs }) => atMs < until).map(({ commit }) => commit))]
    })
  }

  /** One of the things that happen to caches. */
  #disturb(): void {
    const everything = [
      'outbox',
      'outbox',
      'outbox',
      'restart',
      ...(this.#options.store === 'redis' ? REDIS_KINDS : []),
    ]
    const kinds = this.#options.disturbances ?? everything
    const kind = this.#schedule.pick(kinds)
    if (kind === 'outbox') void this.#relay()
    else if (kind === 'restart') this.#restart()
    else this.#disturbRedis(kind)
  }

  #disturbRedis(kind: string): void {
    const redis = this.#redis
    const keys = [...redis.server.keys.keys()]
    if (kind === 'evict')
      redis.forget(keys.filter((key) => this.#schedule.happens(key.includes(':f:') ? 0.5 : 0.1)))
    else if (kind === 'flush') redis.forget(keys)
    else if (kind === 'lose answers') redis.loss = this.#schedule.happens(0.5) ? 0.05 : 0
    else if (kind === 'outage') {
      redis.goAway()
      void this.#schedule.sleep(20).then(() => redis.comeBack())
    } else if (kind === 'fail over') void this.#failOver()
  }

  /** A replica takes over with what had reached it; or what had failed before comes back, as it was then. */
  async #failOver(): Promise<void> {
    const redis = this.#redis
    const replica = this.#schedule.happens(0.3) ? this.#former : undefined
    const next = replica ?? new ModelServer(this.#newRunId(), redis.server.keys)
    await this.#schedule.sleep(this.#schedule.pick([5, 50, 100]))
    if (next === redis.server) return
    this.#former = redis.server
    if (this.#options.hidesFailOver === true) redis.server = next
    else redis.failOver(next)
  }

  async #relay(): Promise<void> {
    const owed = this.#outbox.shift()
    if (owed === undefined) return
    const process = this.#schedule.pick(this.#processes)
    const position = await this.#database.position()
    await process.cache.raise(SCOPE, owed.cells, position)
    this.#notify(process, owed.cells)
  }

  /**
   * A process dies and another takes its place. Not while raises are owed to Redis: who starts then has not seen that it was away, and hears of
   * them a moment later.
   */
  #restart(): void {
    const isOwing = this.#processes.some(({ cache }) => cache instanceof ReadThrough && cache.owesRaises)
    if (this.#redis.isAway || this.#redis.loss > 0 || isOwing) return
    const index = Math.floor(this.#schedule.random() * this.#processes.length)
    const gone = this.#processes[index]!
    gone.isGone = true
    if (gone.connection !== undefined) this.#redis.connections.delete(gone.connection)
    this.#processes[index] = this.#startProcess(index)
  }

  #startProcess(index: number): Process {
    const connection = this.#options.store === 'redis' ? this.#redis.connect() : undefined
    const store = this.#openStore(connection)
    const { open = (options: ReadThroughOptions) => new ReadThrough(options) } = this.#options
    const cache = open({
      store,
      position: (): Promise<Position> =>
        this.#options.inventsFloors === true ? Promise.resolve(toPosition(0)) : this.#database.position(),
      limits: { ...DEFAULT_CACHE_LIMITS, lockMs: 100 },
      now: () => this.#schedule.nowMs,
      random: this.#schedule.random,
      sleep: (ms) => this.#schedule.sleep(ms),
    })
    return { index, cache, store, connection, isGone: false }
  }

  #openStore(connection: ModelConnection | undefined): CacheStore {
    if (connection === undefined)
      return new MemoryCache({ isAlone: this.#options.store === 'memory', noticeBoundMs: NOTICE_BOUND_MS })
    return new RedisCache({
      redis: connection.asRedis,
      prefix: 'n:',
      noticeBoundMs: NOTICE_BOUND_MS,
      nonce: () => `n${++this.#nonces}`,
    })
  }

  #newRunId(): string {
    return this.#options.hidesFailOver === true ? 'run0' : `run${++this.#servers}`
  }
}

const REDIS_KINDS = ['evict', 'evict', 'flush', 'lose answers', 'outage', 'fail over', 'fail over']
