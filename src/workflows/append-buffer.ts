import type { TenantScope } from '../access/tenant-scope.ts'
import type { Committed } from '../database/position.ts'
import { type ErrorCode, NomalyError } from '../errors.ts'
import type { AppendReport, MetricsEngine, PointBatch } from '../metrics/metrics-engine.ts'
import { combineBatches } from './combine-batches.ts'
import { type Delay, systemDelay } from '../ingestion/delay.ts'

export interface AppendBufferOptions {
  readonly engine: Pick<MetricsEngine, 'append' | 'appendFresh'>
  /** Points that may wait in this process, of all tenants together. */
  readonly maxWaitingPoints: number
  /** The system's timer unless told. */
  readonly delay?: Delay
}

/** A batch is as large as this at most, and what is as large by itself does not wait for others. */
export const FLUSH_POINTS = 10_000

/** How long an append waits for the one before it, unless {@link MAX_FLUSHES} are under way. */
export const FLUSH_AFTER_MS = 50

/** Transactions of one source at the same time: more only take connections away from everybody else. */
export const MAX_FLUSHES = 4

/** Groups below this many are not worth another try together. */
const FEW = 4

/** What fails like this says nothing about the points, and would fail for each of them. */
const COMMON_FAILURES: ReadonlySet<ErrorCode> = new Set([
  'unavailable',
  'overloaded',
  'unknown_outcome',
  'timeout',
])

/** One append that waits, or is being stored. */
interface Waiter {
  readonly scope: TenantScope
  readonly batch: PointBatch
  readonly signal: AbortSignal | undefined
  readonly result: PromiseWithResolvers<Committed<AppendReport>>
}

/** Tells callers what became of their points. */
type Answer = () => void

/** What goes into one source, of one tenant: only that is ever stored together. */
interface Lane {
  readonly name: string
  readonly waiters: Set<Waiter>
  waitingPoints: number
  /** Under way. */
  flushes: number
  cancelTimer: (() => void) | undefined
}

/**
 * Stores small appends of many callers in few transactions: those that come while another append to their source is under way wait for its
 * end, for {@link FLUSH_POINTS} points or for {@link FLUSH_AFTER_MS}, and then go together. Each is answered after its commit, with a
 * report of its own points alone; where a batch cannot be stored as a whole, those in it are stored one by one.
 */
export class AppendBuffer implements Pick<MetricsEngine, 'append'>, AsyncDisposable {
  readonly #engine: AppendBufferOptions['engine']
  readonly #maxWaitingPoints: number
  readonly #delay: Delay
  readonly #lanes = new Map<string, Lane>()
  readonly #flushes = new Set<Promise<void>>()
  #waitingPoints = 0

  constructor({ engine, maxWaitingPoints, delay = systemDelay }: AppendBufferOptions) {
    this.#engine = engine
    this.#maxWaitingPoints = maxWaitingPoints
    this.#delay = delay
  }

  /** How many points wait for their batch. */
  get waitingPoints(): number {
    return this.#waitingPoints
  }

  /** As `MetricsEngine.append`. @throws NomalyError `overloaded` where too many points wait already; nothing is stored then. */
  async append(
    scope: TenantScope,
    batch: PointBatch,
    signal?: AbortSignal,
  ): Promise<Committed<AppendReport>> {
    signal?.throwIfAborted()
    const points = batch.series.length
    if (points >= FLUSH_POINTS) return this.#engine.append(scope, batch, signal)
    const lane = this.#laneOf(scope, batch)
    if (lane.flushes > 0 && this.#waitingPoints + points > this.#maxWaitingPoints)
      throw new NomalyError('overloaded', 'Too many points wait to be stored.', {
        hint: 'Nothing of this request was stored: send it again in a moment.',
        retryAfterSeconds: 1,
      })
    const waiter: Waiter = { scope, batch, signal, result: Promise.withResolvers() }
    const abandon = (): void => {
      // What is being stored already is nobody's alone.
      if (this.#remove(lane, waiter)) waiter.result.reject(signal?.reason)
    }
    signal?.addEventListener('abort', abandon, { once: true })
    this.#add(lane, waiter)
    if (lane.flushes === 0 || lane.waitingPoints >= FLUSH_POINTS) this.#flush(lane)
    else this.#systemDelay(lane)
    try {
      return await waiter.result.promise
    } finally {
      signal?.removeEventListener('abort', abandon)
    }
  }

  /** Stores what still waits, and ends when nothing is under way. */
  async [Symbol.asyncDispose](): Promise<void> {
    while (this.#flushes.size > 0 || this.#waitingPoints > 0) {
      for (const lane of this.#lanes.values()) this.#flush(lane)
      await Promise.all(this.#flushes)
    }
  }

  #laneOf({ tenantId }: TenantScope, { source }: PointBatch): Lane {
    // Series that are made take their class from the batch.
    const name = `${tenantId} ${source.kind} ${source.id} ${source.retention}`
    let lane = this.#lanes.get(name)
    if (lane === undefined) {
      lane = { name, waiters: new Set(), waitingPoints: 0, flushes: 0, cancelTimer: undefined }
      this.#lanes.set(name, lane)
    }
    return lane
  }

  #add(lane: Lane, waiter: Waiter): void {
    const points = waiter.batch.series.length
    lane.waiters.add(waiter)
    lane.waitingPoints += points
    this.#waitingPoints += points
  }

  /** False where it does not wait any more. */
  #remove(lane: Lane, waiter: Waiter): boolean {
    if (!lane.waiters.delete(waiter)) return false
    const points = waiter.batch.series.length
    lane.waitingPoints -= points
    this.#waitingPoints -= points
    if (lane.waiters.size === 0) this.#stopTimer(lane)
    return true
  }

  #systemDelay(lane: Lane): void {
    lane.cancelTimer ??= this.#delay(() => {
      lane.cancelTimer = undefined
      this.#flush(lane)
    }, FLUSH_AFTER_MS)
  }

  #stopTimer(lane: Lane): void {
    lane.cancelTimer?.()
    lane.cancelTimer = undefined
  }

  /** Starts to store what waits, as far as there may be transactions. */
  #flush(lane: Lane): void {
    while (lane.waiters.size > 0 && lane.flushes < MAX_FLUSHES) {
      const waiters = this.#takeBatch(lane)
      lane.flushes += 1
      const flush = this.#store(waiters).then((answer) => {
        this.#flushes.delete(flush)
        lane.flushes -= 1
        // Only now: who then sends the next one is to find that nothing is under way.
        answer()
        if (lane.waiters.size > 0) this.#flush(lane)
        else if (lane.flushes === 0) this.#lanes.delete(lane.name)
      })
      this.#flushes.add(flush)
    }
  }

  #takeBatch(lane: Lane): Waiter[] {
    const taken: Waiter[] = []
    let points = 0
    for (const waiter of lane.waiters) {
      points += waiter.batch.series.length
      if (taken.length > 0 && points > FLUSH_POINTS) break
      taken.push(waiter)
    }
    for (const waiter of taken) this.#remove(lane, waiter)
    return taken
  }

  /** Stores all of these, and never throws; what it answers tells those who have not been told yet. */
  async #store(waiters: readonly Waiter[]): Promise<Answer> {
    const [only] = waiters
    if (waiters.length === 1) return this.#storeAlone(only!)
    const answer = await this.#storeTogether(waiters)
    if (answer !== undefined) return answer
    // In groups: a single bad one so costs the others of its group only.
    const size = waiters.length <= FEW ? 1 : Math.ceil(Math.sqrt(waiters.length))
    for (let start = 0; start < waiters.length; start += size) {
      const group = waiters.slice(start, start + size)
      const answerGroup = group.length === 1 ? undefined : await this.#storeTogether(group)
      if (answerGroup !== undefined) answerGroup()
      else for (const waiter of group) (await this.#storeAlone(waiter))()
    }
    return () => {}
  }

  /** `undefined`, and nothing stored, where they cannot be told apart in one batch or something is wrong with one of them. */
  async #storeTogether(waiters: readonly Waiter[]): Promise<Answer | undefined> {
    try {
      const batch = combineBatches(waiters.map((waiter) => waiter.batch))
      const committed = await this.#engine.appendFresh(waiters[0]!.scope, batch)
      if (committed === undefined) return undefined
      const { position } = committed
      return () => {
        for (const waiter of waiters)
          waiter.result.resolve({ value: allInserted(waiter.batch.series.length), position })
      }
    } catch (error) {
      if (!(error instanceof NomalyError) || !COMMON_FAILURES.has(error.code)) return undefined
      return () => {
        for (const waiter of waiters) waiter.result.reject(error)
      }
    }
  }

  async #storeAlone({ scope, batch, signal, result }: Waiter): Promise<Answer> {
    try {
      const committed = await this.#engine.append(scope, batch, signal)
      return () => result.resolve(committed)
    } catch (error) {
      return () => result.reject(error)
    }
  }
}

function allInserted(inserted: number): AppendReport {
  return { inserted, duplicates: 0, conflicting: 0, rejected: [], rejectedTotal: 0 }
}
