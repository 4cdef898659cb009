import { setTimeout as sleep } from 'node:timers/promises'

/** What may be taken at once after a pause, in seconds of the rate. */
const BURST_SECONDS = 0.05

/** Shorter pauses than the clock can keep are gathered. */
const SHORTEST_PAUSE_MS = 5

/** Lets through so many bytes a second, evenly. */
export class Throttle {
  readonly #bytesPerMs: number
  readonly #clock: () => number
  #freeAtMs = 0

  /** A rate of 0 holds nothing up. `clock` in milliseconds. */
  constructor(bytesPerSecond: number, clock: () => number) {
    this.#bytesPerMs = bytesPerSecond / 1000
    this.#clock = clock
  }

  async take(bytes: number, signal: AbortSignal): Promise<void> {
    if (this.#bytesPerMs === 0) return
    const nowMs = this.#clock()
    this.#freeAtMs = Math.max(this.#freeAtMs, nowMs - BURST_SECONDS * 1000) + bytes / this.#bytesPerMs
    const pauseMs = this.#freeAtMs - nowMs
    if (pauseMs >= SHORTEST_PAUSE_MS) await sleep(pauseMs, undefined, { signal })
  }
}
