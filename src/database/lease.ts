import type pg from 'pg'
import type { Purpose } from './purpose.ts'
import { activityOf, isSilent } from './statement-activity.ts'

export interface LeaseOptions {
  readonly client: pg.PoolClient
  readonly purpose: Purpose
  /** Longest time of one of its statements, in milliseconds. */
  readonly timeoutMs: number
  /** Whether it may be held without a statement, for the lock that it has. */
  readonly mayIdle: boolean
  /** Timeline of the server when the connection was made; 0 where it was not asked. */
  readonly timeline: number
  /** Gives the connection back; a broken one is closed. */
  readonly giveBack: (isBroken: boolean) => void
}

/** Why a connection was taken from its holder. */
export type Ending = 'idle' | 'unanswered' | 'superseded'

/** A connection that somebody holds. It is given back once, by its holder or by who watches it. */
export class Lease {
  readonly client: pg.PoolClient
  readonly purpose: Purpose
  readonly timeoutMs: number
  readonly mayIdle: boolean
  readonly timeline: number
  readonly #giveBack: (isBroken: boolean) => void
  #isOver = false
  #ending: Ending | undefined
  #seenCount = -1
  #idleSinceMs = 0

  constructor(options: LeaseOptions) {
    this.client = options.client
    this.purpose = options.purpose
    this.timeoutMs = options.timeoutMs
    this.mayIdle = options.mayIdle
    this.timeline = options.timeline
    this.#giveBack = options.giveBack
  }

  /** Why it was taken from its holder, where it was. */
  get ending(): Ending | undefined {
    return this.#ending
  }

  /** Gives it back; a broken connection is closed, whatever is being asked of it. */
  release(isBroken: boolean): void {
    if (this.#isOver) return
    this.#isOver = true
    this.#giveBack(isBroken)
  }

  /** Takes it from its holder. */
  end(ending: Ending): void {
    if (this.#isOver) return
    this.#ending = ending
    this.release(true)
  }

  /** For how long it has been seen to be held without a statement, in milliseconds: from one look to the next. */
  idleMs(nowMs: number): number {
    const { count } = activityOf(this.client)
    if (isSilent(this.client) && count === this.#seenCount) return nowMs - this.#idleSinceMs
    this.#seenCount = count
    this.#idleSinceMs = nowMs
    return 0
  }

  /** For how long the answer to a statement has been awaited, in milliseconds. */
  awaitedMs(nowMs: number): number {
    const { awaitedSinceMs } = activityOf(this.client)
    return awaitedSinceMs === undefined ? 0 : nowMs - awaitedSinceMs
  }
}
