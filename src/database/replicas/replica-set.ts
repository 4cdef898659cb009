import type { Freshness, Position } from '../position.ts'
import { type Admission, admitWhere } from './admission.ts'
import { isSameHistory, latestPoint, toWalPoint, type WalPoint } from './lsn.ts'
import { PrimaryHistory } from './primary-history.ts'
import { ABSENCES, type Absence, Standby, type StandbyState } from './standby.ts'
import { isAway, isStandbyFault, NotProven } from './standby-faults.ts'
import { watch } from './watch.ts'

/** A server that reads may be made on, and how it is asked about itself; answers come, or fail, within a bounded time. */
export interface StandbyServer {
  readonly name: string
  ask(): Promise<StandbyState>
  /** Breaks what is under way on it: it has not answered for long. */
  abandon(): void
}

export interface ReplicaSetOptions<S extends StandbyServer> {
  /** Where the primary stands now; fails within a bounded time where it does not answer. */
  readonly askPrimary: () => Promise<WalPoint>
  readonly standbys: readonly S[]
  /** How long a read waits for a standby to catch up, in milliseconds. */
  readonly waitMs: number
  /** A standby that is further behind is not asked. */
  readonly maxLagMs: number
  /** A clock that never goes back, in milliseconds. */
  readonly now: () => number
  readonly random: () => number
  /** Resolves after so many milliseconds, or at once when aborted. */
  readonly sleep: (ms: number, signal: AbortSignal) => Promise<void>
  readonly log: (message: string) => void
  /** Closes what the servers are reached by. */
  readonly onDispose?: () => Promise<void>
}

/** A read, as it is made on either kind of server. */
export interface RoutedRead<S, T> {
  readonly freshness: Freshness
  readonly signal?: AbortSignal | undefined
  /** Whether parts of its answer were handed out, so that it cannot be made anew. */
  readonly isAnswered?: (() => boolean) | undefined
  primary(): Promise<T>
  standby(server: S, admission: Admission): Promise<T>
}

/** A standby as the outside sees it. */
export interface ReplicaReport {
  readonly name: string
  readonly isInRotation: boolean
  /** Why it is not. */
  readonly absence: Absence | undefined
  readonly lagMs: number
  readonly reads: number
}

/** How often reads went where, and how waiting ended. */
export interface ReplicaCounts {
  primary: number
  /** Reads that waited for a standby to catch up, and then were made on it. */
  waited: number
  /** Reads that waited in vain. */
  waitedInVain: number
  /** Reads that a standby failed, and the primary answered. */
  failed: number
}

interface Member<S> extends Standby {
  readonly server: S
}

/** The standbys of a database: knows how far each is, and makes every read where it is no older than asked. */
export class ReplicaSet<S extends StandbyServer> implements AsyncDisposable {
  readonly counts: ReplicaCounts = { primary: 0, waited: 0, waitedInVain: 0, failed: 0 }
  readonly #options: ReplicaSetOptions<S>
  readonly #history: PrimaryHistory
  readonly #members: readonly Member<S>[]
  readonly #watches: ReturnType<typeof watch>[] = []
  readonly #watchOf = new Map<Standby, ReturnType<typeof watch>>()
  #turn = 0

  constructor(options: ReplicaSetOptions<S>) {
    this.#options = options
    this.#history = new PrimaryHistory(options.maxLagMs + KEEP_BEYOND_LAG_MS)
    this.#members = options.standbys.map((server) => Object.assign(new Standby(server.name), { server }))
  }

  /** Begins to ask all of them how far they are, again and again. */
  start(): void {
    const { askPrimary, now } = this.#options
    this.#watches.push(
      watch(this.#options, {
        ask: async () => {
          const atMs = now()
          this.#history.note(atMs, await askPrimary())
          for (const member of this.#members) this.#review(member)
        },
        onFailure: () => {},
        isUrgent: () => false,
      }),
    )
    for (const member of this.#members) this.#watchOf.set(member, this.#watchStandby(member))
  }

  /** Makes a read on a standby that is new enough, or on the primary. */
  async read<T>(read: RoutedRead<S, T>): Promise<T> {
    const point = this.#pointOf(read.freshness)
    if (point === undefined) return this.#onPrimary(read)
    const member = this.#choose(point) ?? (await this.#wait(point, read.signal))
    return member === undefined ? this.#onPrimary(read) : this.#onStandby(member, point, read)
  }

  /**
   * What to ask for so that a read misses nothing at positions, of which the one of this database counts, and is not older than so many
   * milliseconds either; 0 is no bound where there is a position.
   */
  noOlder(after: readonly Position[], maxLagMs: number): Freshness {
    const { newest } = this.#history
    if (newest === undefined) return 'latest'
    if (after.length === 0) return maxLagMs > 0 ? { maxLagMs } : 'latest'
    const position = after.find(({ systemId }) => systemId === newest.systemId)
    if (position === undefined) return 'latest'
    return maxLagMs > 0 ? { after: position, maxLagMs } : { after: position }
  }

  /** Whether none of some positions is of the history of the primary, as far as that is known. */
  isForeign(positions: readonly Position[]): boolean {
    const { newest } = this.#history
    return newest !== undefined && !positions.some((position) => isSameHistory(position, newest))
  }

  /** Standbys that have not replayed a position are not asked from now on: this process relies on what was committed there. */
  require(position: Position): void {
    this.#history.raiseFloor(toWalPoint(position))
    for (const member of this.#members) this.#review(member)
  }

  get report(): ReplicaReport[] {
    return this.#members.map(({ name, absence, lagMs, reads }) => ({
      name,
      isInRotation: absence === undefined,
      absence,
      lagMs,
      reads,
    }))
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const watches = [...this.#watches, ...this.#watchOf.values()].map((one) => one[Symbol.asyncDispose]())
    // What is being asked ends with its connection.
    await Promise.all([...watches, this.#options.onDispose?.()])
  }

  /** What must have been replayed; `undefined` where only the primary will do. */
  #pointOf(freshness: Freshness): WalPoint | undefined {
    if (freshness === 'latest') return undefined
    const { floor } = this.#history
    const after = 'after' in freshness ? toWalPoint(freshness.after) : undefined
    if (freshness.maxLagMs === undefined) return latestPoint(after, floor)
    const since =
      freshness.maxLagMs > 0 ? this.#history.since(this.#options.now() - freshness.maxLagMs) : undefined
    // That was after the floor was first set, and may be before it was raised.
    return since && latestPoint(latestPoint(since, floor), after)
  }

  /** Of those that are known to be far enough, the one with the fewest reads; of equals, the one whose turn it is. */
  #choose(point: WalPoint): Member<S> | undefined {
    let chosen: Member<S> | undefined
    for (const member of this.#members)
      if (member.hasReplayed(point) && (chosen === undefined || isBefore(member, chosen))) chosen = member
    return chosen
  }

  /** The first that gets so far, within a bounded time; together they are asked once for all who wait. */
  async #wait(point: WalPoint, signal: AbortSignal | undefined): Promise<Member<S> | undefined> {
    const { waitMs, sleep } = this.#options
    const members = this.#members.filter((member) => member.mayReach(point, waitMs))
    if (members.length === 0 || waitMs <= 0) return undefined
    const givingUp = new AbortController()
    const giveUp = (): void => givingUp.abort()
    signal?.addEventListener('abort', giveUp, { once: true })
    void sleep(waitMs, givingUp.signal).then(giveUp)
    try {
      const waits = members.map(async (member) => {
        const waiting = member.wait(point, givingUp.signal)
        this.#watchOf.get(member)?.hurry()
        if (!(await waiting)) throw new NotProven()
        return member
      })
      const first = await Promise.any(waits).catch(() => undefined)
      signal?.throwIfAborted()
      if (first === undefined) this.counts.waitedInVain++
      else this.counts.waited++
      return first
    } finally {
      giveUp()
      signal?.removeEventListener('abort', giveUp)
    }
  }

  #onPrimary<T>(read: RoutedRead<S, T>): Promise<T> {
    this.counts.primary++
    return read.primary()
  }

  async #onStandby<T>(member: Member<S>, point: WalPoint, read: RoutedRead<S, T>): Promise<T> {
    member.inUse++
    member.lastTurn = ++this.#turn
    try {
      const value = await this.#tryStandby(member, point, read)
      member.reads++
      return value
    } catch (error) {
      if (isAway(error)) this.#lose(member)
      if (read.signal?.aborted === true || read.isAnswered?.() === true || !isStandbyFault(error)) throw error
      this.counts.failed++
    } finally {
      member.inUse--
    }
    return this.#onPrimary(read)
  }

  async #tryStandby<T>(member: Member<S>, point: WalPoint, read: RoutedRead<S, T>): Promise<T> {
    try {
      return await read.standby(member.server, admitWhere(member, point, false))
    } catch (error) {
      if (!(error instanceof NotProven)) throw error
      // It was started anew, or the address leads to several servers: then this one is asked itself.
      return read.standby(member.server, admitWhere(member, point, true))
    }
  }

  #watchStandby(member: Member<S>): ReturnType<typeof watch> {
    const { now } = this.#options
    let lostAtMs: number | undefined
    return watch(this.#options, {
      ask: async () => {
        member.learn(await member.server.ask())
        lostAtMs = undefined
        this.#review(member)
      },
      onFailure: () => {
        lostAtMs ??= now()
        this.#lose(member)
        if (now() - lostAtMs >= ABANDON_MS) member.server.abandon()
      },
      isUrgent: () => member.isWaitedFor,
    })
  }

  #review(member: Member<S>): void {
    const before = member.absence
    member.review(this.#history, this.#options.now(), this.#options.maxLagMs)
    this.#tell(member, before)
  }

  #lose(member: Member<S>): void {
    const before = member.absence
    member.lose()
    this.#tell(member, before)
  }

  #tell({ name, absence }: Standby, before: Absence | undefined): void {
    if (absence === before) return
    if (absence === undefined) this.#options.log(`The standby ${name} is asked for reads.`)
    else if (before === undefined)
      this.#options.log(`The standby ${name} is not asked any more: ${ABSENCES[absence]}.`)
  }
}

/** Of reads with a longer bound, older times of the primary are of use; beyond that the oldest that is known will do. */
const KEEP_BEYOND_LAG_MS = 5_000
/** How long a server may be silent before what is under way on it is broken off. */
const ABANDON_MS = 5_000

function isBefore(a: Standby, b: Standby): boolean {
  return a.inUse === b.inUse ? a.lastTurn < b.lastTurn : a.inUse < b.inUse
}
