import { isSameHistory, type WalPoint } from './lsn.ts'
import type { PrimaryHistory } from './primary-history.ts'

/** What a server that may be a standby answers about itself. */
export interface StandbyState extends WalPoint {
  /** Of one run of the server: after a restart, and on another server at the same address, it is another one. */
  readonly run: string
  readonly isRecovering: boolean
}

/** Why a standby is not asked. */
export type Absence =
  | 'unknown'
  | 'away'
  | 'primary'
  | 'other server'
  | 'other timeline'
  | 'behind'
  | 'lagging'

/** Why a standby is not asked, in words. */
export const ABSENCES: Readonly<Record<Absence, string>> = {
  unknown: 'nothing is known of it yet',
  away: 'it does not answer',
  primary: 'it is no standby',
  'other server': 'it is a standby of another server',
  'other timeline': 'it does not follow the timeline of the primary',
  behind: 'it has not replayed what this process relies on',
  lagging: 'it is too far behind',
}

interface Waiter {
  readonly point: WalPoint
  readonly settle: (hasReplayed: boolean) => void
}

/** Servers at one address that are remembered: more than one where it leads to a balancer. */
const MAX_RUNS = 8

/** What is known of one standby. */
export class Standby {
  readonly name: string
  /** Reads that are being made on it. */
  inUse = 0
  /** The turn in which it was chosen last. */
  lastTurn = 0
  reads = 0
  lagMs = 0
  absence: Absence | undefined = 'unknown'
  state: StandbyState | undefined
  /** Of other servers at the same address: what reads have found there. */
  readonly #others = new Map<string, StandbyState>()
  readonly #waiters = new Set<Waiter>()
  #isAway = false

  constructor(name: string) {
    this.name = name
  }

  get isWaitedFor(): boolean {
    return this.#waiters.size > 0
  }

  /** Takes in what it answered; what was known of an earlier run of it counts no more. */
  learn(state: StandbyState): void {
    this.state = state
    this.#others.delete(state.run)
    this.#isAway = false
  }

  /** Decides anew whether it is asked, when something was learnt of it or of the primary. */
  review(history: PrimaryHistory, nowMs: number, maxLagMs: number): void {
    if (this.state === undefined || this.#isAway) return
    this.lagMs = history.lagMs(this.state.lsn, nowMs)
    this.absence = absenceOf(this.state, history, this.lagMs > maxLagMs)
    for (const waiter of this.#waiters) if (this.hasReplayed(waiter.point)) this.#settle(waiter, true)
  }

  /** Takes in what another server at its address answered. */
  learnOther(state: StandbyState): void {
    this.#others.delete(state.run)
    this.#others.set(state.run, state)
    for (const run of this.#others.keys()) if (this.#others.size > MAX_RUNS) this.#others.delete(run)
  }

  /** It does not answer. */
  lose(): void {
    this.#isAway = true
    this.absence = 'away'
    for (const waiter of this.#waiters) this.#settle(waiter, false)
  }

  /** Whether it is known to have replayed all that is before a point. */
  hasReplayed(point: WalPoint): boolean {
    return this.absence === undefined && covers(this.state!, point)
  }

  /** The runs of servers at this address that are known to have done so. */
  runsPast(point: WalPoint): string[] {
    const runs = this.state !== undefined && covers(this.state, point) ? [this.state.run] : []
    for (const other of this.#others.values()) if (covers(other, point)) runs.push(other.run)
    return runs
  }

  /** Whether waiting so long for it may help. */
  mayReach(point: WalPoint, withinMs: number): boolean {
    return this.absence === undefined && isSameHistory(this.state!, point) && this.lagMs <= withinMs
  }

  /** Resolves with `true` when it is known to have replayed a point, with `false` when it is lost or the caller gives up. */
  wait(point: WalPoint, givingUp: AbortSignal): Promise<boolean> {
    return new Promise((resolve) => {
      const giveUp = (): void => this.#settle(waiter, false)
      const waiter: Waiter = {
        point,
        settle: (hasReplayed) => {
          givingUp.removeEventListener('abort', giveUp)
          resolve(hasReplayed)
        },
      }
      this.#waiters.add(waiter)
      givingUp.addEventListener('abort', giveUp, { once: true })
    })
  }

  #settle(waiter: Waiter, hasReplayed: boolean): void {
    this.#waiters.delete(waiter)
    waiter.settle(hasReplayed)
  }
}

/** Whether a server has replayed all that is before a point. */
export function covers(state: StandbyState, point: WalPoint): boolean {
  return isSameHistory(state, point) && state.lsn >= point.lsn
}

function absenceOf(state: StandbyState, history: PrimaryHistory, isLagging: boolean): Absence | undefined {
  const { newest, floor } = history
  if (!state.isRecovering) return 'primary'
  // Until the primary was heard of it cannot be told whose standby this is.
  if (newest === undefined || floor === undefined) return 'unknown'
  if (state.systemId !== newest.systemId) return 'other server'
  if (state.timeline !== newest.timeline) return 'other timeline'
  if (!covers(state, floor)) return 'behind'
  return isLagging ? 'lagging' : undefined
}
