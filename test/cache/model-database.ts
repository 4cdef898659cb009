import type { Freshness, Position } from '../../src/database/position.ts'
import type { Schedule } from './schedule.ts'

/** What a read saw: of each cell, the commit that wrote it last; 0 where there was none. */
export type Cells = Record<string, number>

/** A primary that commits cells, and replicas that follow as the schedule has it. */
export class ModelDatabase {
  readonly #schedule: Schedule
  /** Of each cell, the commits that wrote it, ascending. */
  readonly #writes = new Map<string, number[]>()
  readonly #replayed: number[]
  #newest = 0
  loads = 0

  constructor(schedule: Schedule, replicas: number) {
    this.#schedule = schedule
    this.#replayed = Array.from({ length: replicas }, () => 0)
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

  /** Some replica catches up, at least a bit. */
  replay(): void {
    const index = Math.floor(this.#schedule.random() * this.#replayed.length)
    const from = this.#replayed[index]
    if (from === undefined) return
    this.#replayed[index] = from + Math.ceil(this.#schedule.random() * (this.#newest - from))
  }

  /** Reads one snapshot of the primary, or of a replica that is new enough; both the way there and back take time. */
  async read(cells: readonly string[], freshness: Freshness): Promise<Cells> {
    this.loads++
    await this.#schedule.pause()
    const upTo = this.#chooseServer(freshness)
    const seen = Object.fromEntries(cells.map((cell) => [cell, this.lastWrite(cell, upTo)]))
    await this.#schedule.pause()
    return seen
  }

  #chooseServer(freshness: Freshness): number {
    if (freshness === 'latest' || 'maxLagMs' in freshness) return this.#newest
    const after = fromPosition(freshness.after)
    return this.#schedule.pick([this.#newest, ...this.#replayed.filter((replayed) => replayed >= after)])
  }
}

/** Where a commit stands. */
export function toPosition(commit: number): Position {
  return { systemId: '7', timeline: 1, lsn: `0/${commit.toString(16).toUpperCase()}` }
}

function fromPosition({ lsn }: Position): number {
  return Number.parseInt(lsn.split('/')[1]!, 16)
}
