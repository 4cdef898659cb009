import { uniform } from '../support/random.ts'

interface Paused {
  /** What goes on in any case, whatever else does. */
  readonly isBackground: boolean
  readonly dueMs: number
  readonly go: () => void
}

/** Runs everything that waits one at a time, in an order that a seed decides, on a clock of its own. */
export class Schedule {
  readonly random: () => number
  readonly #paused: Paused[] = []
  nowMs = 1_000_000

  constructor(seed: number) {
    this.random = uniform(seed)
  }

  /** How many wait, beside what goes on in the background. */
  get waiting(): number {
    return this.#paused.filter(({ isBackground }) => !isBackground).length
  }

  /** Whether something of this likelihood happens. */
  happens(likelihood: number): boolean {
    return this.random() < likelihood
  }

  pick<T>(choices: readonly T[]): T {
    return choices[Math.floor(this.random() * choices.length)]!
  }

  /** Goes on when it is chosen. */
  pause(kind?: 'background'): Promise<void> {
    return new Promise((go) => this.#paused.push({ isBackground: kind !== undefined, dueMs: 0, go }))
  }

  /** Goes on when it is chosen, and then it is as late as that. An aborted one goes on as well. */
  sleep(ms: number, kind?: 'background'): Promise<void> {
    const dueMs = this.nowMs + ms
    return new Promise((go) => this.#paused.push({ isBackground: kind !== undefined, dueMs, go }))
  }

  /** Lets one go on, and everything that it can do without waiting. */
  async step(): Promise<void> {
    this.nowMs++
    const index = Math.floor(this.random() * this.#paused.length)
    const [chosen] = this.#paused.splice(index, 1)
    if (chosen === undefined) return
    this.nowMs = Math.max(this.nowMs, chosen.dueMs)
    chosen.go()
    await new Promise((resolve) => setImmediate(resolve))
  }
}
