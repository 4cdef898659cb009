import type { Freshness, Position } from '../../src/database/position.ts'
import type { Admission } from '../../src/database/replicas/admission.ts'
import { toWalPoint } from '../../src/database/replicas/lsn.ts'
import { ReplicaSet, type StandbyServer } from '../../src/database/replicas/replica-set.ts'
import type { StandbyState } from '../../src/database/replicas/standby.ts'
import type { Schedule } from './schedule.ts'

/** What a read saw: of each cell, the commit that wrote it last; 0 where there was none. */
export type Cells = Record<string, number>

/** How much quicker the router's clock goes in a world, so that there is as much going on between two of its questions as otherwise. */
const HASTE = 25

/** A primary that commits cells, and standbys that follow as the schedule has it; the product's router decides where a read is made. */
export class ModelDatabase {
  readonly #schedule: Schedule
  /** Of each cell, the commits that wrote it, ascending. */
  readonly #writes = new Map<string, number[]>()
  readonly #standbys: readonly ModelStandby[]
  readonly #replicas: ReplicaSet<ModelStandby>
  readonly #trustsRuns: boolean
  #newest = 0
  loads = 0
  /** Reads that a standby answered. */
  standbyReads = 0

  /** @param trustsRuns takes every run of a server at an address for the one that was asked. */
  constructor(schedule: Schedule, standbys: number, trustsRuns = false) {
    this.#schedule = schedule
    this.#trustsRuns = trustsRuns
    this.#standbys = Array.from({ length: standbys }, (_, index) => new ModelStandby(schedule, String(index)))
    this.#replicas = new ReplicaSet({
      askPrimary: async () => {
        await schedule.pause('background')
        const point = toWalPoint(toPosition(this.#newest))
        await schedule.pause('background')
        return point
      },
      standbys: this.#standbys,
      waitMs: 50,
      maxLagMs: 2_000,
      now: () => schedule.nowMs,
      random: schedule.random,
      sleep: (ms) => schedule.sleep(ms / HASTE, 'background'),
      log: () => {},
    })
    this.#replicas.start()
  }

  /** Commits at once; answers where. */
  commit(cells: readonly string[]): number {
    this.#newest++
    for (const cell of cells) this.#writes.set(cell, [...(this.#writes.get(cell) ?? []), this.#newest])
    return this.#newest
  }

  /** The last commit to a cell, no later than another. */
  lastWrite(cell: string, upTo = this.#newest): number {
    return this.#writes.get(cell)?.findLast((commit) => commit <= upTo) ?? 0
  }

  async position(): Promise<Position> {
    await this.#schedule.pause()
    const position = toPosition(this.#newest)
    await this.#schedule.pause()
    return position
  }

  /** Some standby catches up, at least a bit; or, now and then, an older copy of it takes its place. */
  replay(): void {
    const standby = this.#standbys[Math.floor(this.#schedule.random() * this.#standbys.length)]
    if (standby === undefined) return
    if (this.#schedule.happens(0.05)) standby.restore()
    else standby.replay(this.#newest)
  }

  /** Reads one snapshot of the primary, or of a standby that is new enough; both the way there and back take time. */
  async read(cells: readonly string[], freshness: Freshness): Promise<Cells> {
    this.loads++
    await this.#schedule.pause()
    const upTo = await this.#replicas.read({
      freshness,
      primary: async () => this.#newest,
      standby: (standby, admission) => this.#readOn(standby, admission),
    })
    const seen = Object.fromEntries(cells.map((cell) => [cell, this.lastWrite(cell, upTo)]))
    await this.#schedule.pause()
    return seen
  }

  async #readOn(standby: ModelStandby, admission: Admission): Promise<number> {
    if (admission.asksFirst) admission.found(await standby.ask())
    await this.#schedule.pause()
    const { run, replayed } = standby
    await this.#schedule.pause()
    if (!this.#trustsRuns) admission.admit(run)
    this.standbyReads++
    return replayed
  }
}

class ModelStandby implements StandbyServer {
  readonly name: string
  readonly #schedule: Schedule
  #runs = 0
  replayed = 0

  constructor(schedule: Schedule, name: string) {
    this.#schedule = schedule
    this.name = name
  }

  get run(): string {
    return `run ${this.#runs}`
  }

  async ask(): Promise<StandbyState> {
    await this.#schedule.pause('background')
    const state = { ...toWalPoint(toPosition(this.replayed)), run: this.run, isRecovering: true }
    await this.#schedule.pause('background')
    return state
  }

  abandon(): void {}

  replay(newest: number): void {
    this.replayed += Math.ceil(this.#schedule.random() * (newest - this.replayed))
  }

  restore(): void {
    this.#runs++
    this.replayed = Math.floor(this.#schedule.random() * this.replayed)
  }
}

/** Bytes of a commit in the log, and where the first begins: none then ends behind the header of a page, which has a meaning of its own. */
const COMMIT_BYTES = 64
const FIRST_BYTE = 8

/** Where a commit stands. */
export function toPosition(commit: number): Position {
  return {
    systemId: '7',
    timeline: 1,
    lsn: `0/${(FIRST_BYTE + COMMIT_BYTES * commit).toString(16).toUpperCase()}`,
  }
}

/** The commit that stands at a position. */
export function commitAt({ lsn }: Position): number {
  return (Number.parseInt(lsn.split('/')[1]!, 16) - FIRST_BYTE) / COMMIT_BYTES
}
