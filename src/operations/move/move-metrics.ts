import { setTimeout as sleep } from 'node:timers/promises'
import type { Connection } from '../../database/connection.ts'
import type { Database } from '../../database/database.ts'
import { sqlState } from '../../database/database-errors.ts'
import { NomalyError } from '../../errors.ts'
import { instantLiteral } from '../../metrics/instant-literal.ts'
import { type MetricsEngine, POINT_LIMITS } from '../../metrics/metrics-engine.ts'
import type { MoveSide } from '../../metrics/move-side.ts'
import { RETENTION_CLASSES } from '../../metrics/retention.ts'
import { DAY_MICROS } from '../../metrics/roll-up-ledger.ts'
import { awaitChanges, lockOutWriters } from '../../metrics/source-lock.ts'
import { catchUp, makeRoom, readJournal, workOff } from './catch-up.ts'
import { asMover, beginMove, clearFormer, forgetMove, readState, totalPoints } from './move-lifecycle.ts'
import { copyWindow, listWindows, type MoveWindow, verifyWindow } from './move-windows.ts'

type EngineName = MetricsEngine['name']

export type MovePhase = 'copying' | 'catching up' | 'rolling up' | 'verifying' | 'switching' | 'clearing'

export interface MoveProgress {
  readonly phase: MovePhase
  /** Windows of time, in the phases that go through them. */
  readonly done: number
  readonly total: number
  /** Points that were copied or compared in this phase so far. */
  readonly points: number
}

export interface MoveOptions {
  readonly database: Database
  readonly sides: Readonly<Record<EngineName, MoveSide>>
  readonly to: EngineName
  readonly clock: () => number
  readonly signal: AbortSignal
  readonly progress?: (progress: MoveProgress) => void
}

export interface MoveReport {
  readonly engine: EngineName
  /** False where the points were there already. */
  readonly hasMoved: boolean
  readonly points: number
  /** Windows whose two sides were not the same at first, and were copied again. */
  readonly repaired: number
  /** How long writes had to wait at the switch, in milliseconds. */
  readonly writersWaitedMs: number
  /** Whether the former tables are empty; otherwise calling again empties them. */
  readonly isCleared: boolean
}

/** Every point lies before it. */
const AFTER_ALL_MICROS = POINT_LIMITS.maxTimeMs * 1000 + DAY_MICROS

/** How often a window is copied again that does not come out the same. */
const VERIFY_ATTEMPTS = 3

/** How long new writes may be held up by one attempt to switch, beside the work of the switch itself. */
const SWITCH_LOCK_TIMEOUT_MS = 1_000
const SWITCH_ATTEMPTS = 120

/** What is left of the journal when writers are held up; more is worked off before. */
const FEW_ENTRIES = 5_000

const LOCK_NOT_AVAILABLE = '55P03'

/**
 * Moves all points to the other engine of the same database while they are written and read, and makes it the one that keeps them. May be
 * interrupted at any line and called again, and goes on where it was; until the switch {@link cancelMove} takes everything back.
 * @throws NomalyError `conflict` where another process is at it, or a move the other way is under way.
 */
export async function moveMetrics(options: MoveOptions): Promise<MoveReport> {
  const { database, sides, to } = options
  const from: EngineName = to === 'timescale' ? 'partitioned' : 'timescale'
  const clear = (): Promise<boolean> => {
    options.progress?.({ phase: 'clearing', done: 0, total: 0, points: 0 })
    return clearFormer(database, sides[from], options.signal)
  }
  return asMover(database, async () => {
    const state = await readState(database)
    if (state.movingTo !== undefined && state.movingTo !== to)
      throw new NomalyError('conflict', `A move to ${state.movingTo} is under way.`, {
        hint: `Finish it with \`nomaly metrics move --to ${state.movingTo}\`, or give it up with \`nomaly metrics move --cancel\`.`,
      })
    if (state.name === to) {
      const isCleared = await clear()
      return { engine: to, hasMoved: false, points: 0, repaired: 0, writersWaitedMs: 0, isCleared }
    }
    if (state.movingTo === undefined) await beginMove(database, sides[to], state.name, to)
    const move = new Move(options, sides[from], sides[to])
    await move.copy()
    await move.catchUp()
    await move.rollUp()
    const { points, repaired } = await move.verify()
    const writersWaitedMs = await move.switch()
    const isCleared = await clear()
    return { engine: to, hasMoved: true, points, repaired, writersWaitedMs, isCleared }
  })
}

/** Gives up a move that has not switched; false where none is under way. */
export async function cancelMove({
  database,
  sides,
}: Pick<MoveOptions, 'database' | 'sides'>): Promise<boolean> {
  return asMover(database, async () => {
    const { movingTo } = await readState(database)
    if (movingTo === undefined) return false
    await database.transaction({ role: 'nomaly_system' }, (connection) =>
      connection.query('update metrics.engine set moving_to = null, moving_until = null'),
    )
    await awaitChanges(database)
    await sides[movingTo].clear('closed')
    await forgetMove(database)
    return true
  })
}

/** The phases of one move, each of which may be repeated. */
class Move {
  readonly #options: MoveOptions
  readonly #source: MoveSide
  readonly #target: MoveSide

  constructor(options: MoveOptions, source: MoveSide, target: MoveSide) {
    this.#options = options
    this.#source = source
    this.#target = target
  }

  /** Copies all windows, oldest first: what is written at the end of time, where most is written, is journalled only at last. */
  async copy(): Promise<void> {
    const { database } = this.#options
    let points = 0
    for (let isWhole = false; !isWhole;) {
      const windows = await listWindows(database, this.#source)
      const missing = windows.filter(({ isCopied }) => !isCopied)
      isWhole = missing.length === 0 && (await this.#announced()) >= AFTER_ALL_MICROS
      if (missing.length === 0 && !isWhole) await this.#announce(AFTER_ALL_MICROS)
      for (const [i, window] of missing.entries()) {
        const done = windows.length - missing.length + i
        this.#report({ phase: 'copying', done, total: windows.length, points })
        await this.#announce(window.upperMicros)
        points += await this.#copyWindow(window)
      }
    }
    for (const retention of RETENTION_CLASSES) await this.#target.settle(retention, this.#options.clock())
  }

  async catchUp(): Promise<void> {
    const { database, clock, signal } = this.#options
    for (let worked = Infinity; worked > FEW_ENTRIES;) {
      this.#report({ phase: 'catching up', done: 0, total: 0, points: 0 })
      worked = await catchUp(database, this.#source, this.#target, clock(), signal)
    }
  }

  async rollUp(): Promise<void> {
    const { clock, signal } = this.#options
    for (let hasMore = true; hasMore;) {
      this.#report({ phase: 'rolling up', done: 0, total: 0, points: 0 })
      ;({ hasMore } = await this.#target.engine.rollUp(new Date(clock()), signal))
    }
  }

  /** Compares both sides of all windows, and copies again what differs. @throws NomalyError `internal` where that does not help. */
  async verify(): Promise<{ points: number; repaired: number }> {
    const { database, signal } = this.#options
    const windows = await listWindows(database, this.#source)
    let repaired = 0
    for (const [done, window] of windows.entries()) {
      this.#report({ phase: 'verifying', done, total: windows.length, points: 0 })
      if (window.isVerified) continue
      for (let attempt = 1; ; attempt++) {
        if (await verifyWindow(database, this.#source, this.#target, window, signal)) break
        if (attempt === VERIFY_ATTEMPTS) throw notTheSame(window)
        repaired += 1
        await this.#copyWindow(window)
      }
    }
    return { points: await totalPoints(database), repaired }
  }

  /** Holds writers up for as long as the last few changes take, and hands over; answers how long that was. */
  async switch(): Promise<number> {
    const { database, signal } = this.#options
    for (let attempt = 1; ; attempt++) {
      this.#report({ phase: 'switching', done: 0, total: 0, points: 0 })
      await this.catchUp()
      const options = { role: 'nomaly_system', signal } as const
      try {
        const { value } = await database.transaction(options, (connection) => this.#handOver(connection))
        if (value !== undefined) return value
      } catch (error) {
        if (sqlState(error) !== LOCK_NOT_AVAILABLE || attempt >= SWITCH_ATTEMPTS) throw error
      }
      // Long writes are let through, and those that waited behind this.
      await sleep(Math.min(2_000, 100 * attempt), undefined, { signal })
    }
  }

  async #handOver(connection: Connection): Promise<number | undefined> {
    const { clock, signal, to } = this.#options
    await connection.query(`set local lock_timeout = ${SWITCH_LOCK_TIMEOUT_MS}`)
    const start = performance.now()
    await lockOutWriters(connection)
    await this.#source.begin(connection)
    await this.#target.begin(connection)
    const part = await readJournal(connection)
    if (part.ids.length > FEW_ENTRIES) return undefined
    await makeRoom(this.#target, part, clock(), signal)
    await workOff(connection, this.#source, this.#target, part)
    await this.#target.open(connection, true)
    await this.#source.open(connection, false)
    await connection.query(
      'update metrics.engine set name = $1, moving_to = null, moving_until = null, chosen_at = now()',
      [to],
    )
    return performance.now() - start
  }

  async #copyWindow(window: MoveWindow): Promise<number> {
    const { database, clock, signal } = this.#options
    const points = await copyWindow(database, this.#source, this.#target, window, clock(), signal)
    await this.#target.settle(window.retention, clock())
    return points
  }

  async #announced(): Promise<number> {
    return (await readState(this.#options.database)).movingUntilMicros
  }

  /** Has writes noted that are before this instant, from when this returns: those that had not heard of it are over. */
  async #announce(micros: number): Promise<void> {
    const { database, signal } = this.#options
    if ((await this.#announced()) < micros)
      await database.transaction({ role: 'nomaly_system', signal }, (connection) =>
        connection.query(`update metrics.engine set moving_until = ${instantLiteral(micros)}`),
      )
    // Always: who announced it before may have ended before it had waited.
    await awaitChanges(database, signal)
  }

  #report(progress: MoveProgress): void {
    this.#options.progress?.(progress)
  }
}

function notTheSame({ retention, lowerMicros }: MoveWindow): NomalyError {
  const from = new Date(lowerMicros / 1000).toISOString()
  return new NomalyError(
    'internal',
    `The copy of what is kept ${retention} from ${from} on is not the same.`,
    {
      hint: 'Nothing is lost: points stay where they are. Give the move up with `nomaly metrics move --cancel`, and report this.',
    },
  )
}
