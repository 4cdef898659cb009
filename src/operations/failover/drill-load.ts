import { setTimeout as sleep } from 'node:timers/promises'
import type { Database } from '../../database/database.ts'
import type { Position } from '../../database/position.ts'
import { NomalyError } from '../../errors.ts'
import type { Store } from '../../store/store.ts'
import { append, count, type DrillSite, markName } from './drill-writes.ts'
import type { WriteKind, WriteLedger } from './write-ledger.ts'

export interface LoadOptions {
  readonly store: Store
  readonly site: DrillSite
  readonly ledger: WriteLedger
  readonly clock: () => number
  readonly writesPerSecond: number
}

/** What readers saw. */
export interface ReadTally {
  /** Reads of one's own last write that were answered. */
  answered: number
  refused: number
  /** Longest time from one answer to the next, in milliseconds. */
  longestPauseMs: number
  /** Marks that were not there though their write had been acknowledged before the read; where they are lost, that is no stale read. */
  readonly unseen: string[]
}

const COUNTER_LANES = 4
const POINT_LANES = 2
const READ_LANES = 2
/** One write of points in so many: each is a batch. */
const SHARE_OF_POINTS = 0.1
const READ_INTERVAL_MS = 25
/** An attempt that takes longer is given up and made again, as a client would. */
const ATTEMPT_TIMEOUT_MS = 20_000
const RETRY_MS = 100

/** Writes and reads as clients of the installation do: each sends again what was not acknowledged, and no two of them wait for each other. */
export class DrillLoad implements AsyncDisposable {
  readonly reads: ReadTally = { answered: 0, refused: 0, longestPauseMs: 0, unseen: [] }
  readonly #options: LoadOptions
  readonly #stopping = new AbortController()
  readonly #lanes: Promise<void>[] = []
  readonly #newest = new Map<number, { readonly mark: string; readonly position: Position }>()
  #lastReadMs: number

  private constructor(options: LoadOptions) {
    this.#options = options
    this.#lastReadMs = options.clock()
  }

  /** Starts to write and read. */
  static start(options: LoadOptions): DrillLoad {
    const load = new DrillLoad(options)
    const { store, site, writesPerSecond } = options
    const points = Math.max(1, writesPerSecond * SHARE_OF_POINTS)
    const counterPauseMs = (COUNTER_LANES * 1000) / Math.max(1, writesPerSecond - points)
    const pointPauseMs = (POINT_LANES * 1000) / points
    for (let lane = 0; lane < COUNTER_LANES; lane++)
      load.#lanes.push(
        load.#write('counters', lane, counterPauseMs, (n, signal) =>
          count(store.database, site, String(lane), n, signal),
        ),
      )
    for (let lane = 0; lane < POINT_LANES; lane++)
      load.#lanes.push(
        load.#write('points', lane, pointPauseMs, (n, signal) =>
          append(store.metrics, site, lane, n, signal),
        ),
      )
    for (let lane = 0; lane < READ_LANES; lane++) load.#lanes.push(load.#read(lane))
    return load
  }

  /** Writes counters through a connection to one server besides: what is acknowledged there must last like any other. */
  writeStraight(database: Database): void {
    const { site } = this.#options
    this.#lanes.push(
      this.#write('straight', 0, 50, (n, signal) => count(database, site, 'straight', n, signal)),
    )
  }

  /** Ends every lane; attempts that are under way are waited for, as long as one may take. */
  async stop(): Promise<void> {
    this.#stopping.abort()
    await Promise.all(this.#lanes)
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.stop()
  }

  async #write(
    kind: WriteKind,
    lane: number,
    pauseMs: number,
    write: (n: number, signal: AbortSignal) => Promise<{ position: Position; isNew: boolean }>,
  ): Promise<void> {
    const { ledger, clock, site } = this.#options
    const { signal } = this.#stopping
    for (let n = 0; !signal.aborted; n++) {
      const entry = ledger.begin(kind, lane, n)
      while (entry.acknowledgedAtMs === undefined && !(signal.aborted && entry.failed.length > 0)) {
        try {
          const { position, isNew } = await within(ATTEMPT_TIMEOUT_MS, (timeout) => write(n, timeout))
          ledger.acknowledge(entry, clock(), position, isNew)
          if (kind === 'counters')
            this.#newest.set(lane, { mark: markName(site.run, String(lane), n), position })
        } catch (error) {
          ledger.fail(entry, error)
          await pause(RETRY_MS * (0.5 + Math.random()), signal)
        }
      }
      await pause(pauseMs * (0.5 + Math.random()), signal)
    }
  }

  async #read(lane: number): Promise<void> {
    const { store, site, ledger, clock } = this.#options
    const { signal } = this.#stopping
    for (let turn = lane; !signal.aborted; turn++) {
      await pause(READ_INTERVAL_MS * (0.5 + Math.random()), signal)
      const newest = this.#newest.get(turn % COUNTER_LANES)
      if (newest === undefined) continue
      const { mark, position } = newest
      try {
        const seen = await within(ATTEMPT_TIMEOUT_MS, (timeout) =>
          store.read(site.scope, { after: position }, timeout).settings.get(mark),
        )
        this.reads.answered += 1
        if (seen === undefined) this.reads.unseen.push(mark)
        const nowMs = clock()
        this.reads.longestPauseMs = Math.max(this.reads.longestPauseMs, nowMs - this.#lastReadMs)
        this.#lastReadMs = nowMs
      } catch (error) {
        this.reads.refused += 1
        ledger.count(error)
      }
    }
  }
}

/** Answers in time whatever the work does: a server that was frozen answers neither the work nor its cancellation. */
async function within<T>(timeoutMs: number, work: (signal: AbortSignal) => Promise<T>): Promise<T> {
  const controller = new AbortController()
  const late = Promise.withResolvers<never>()
  const timer = setTimeout(() => {
    const error = new NomalyError('timeout', `A request of the drill had no answer within ${timeoutMs} ms.`)
    controller.abort(error)
    late.reject(error)
  }, timeoutMs)
  const working = work(controller.signal)
  working.catch(() => {})
  try {
    return await Promise.race([working, late.promise])
  } finally {
    clearTimeout(timer)
  }
}

async function pause(ms: number, signal: AbortSignal): Promise<void> {
  await sleep(ms, undefined, { signal }).catch(() => {})
}
