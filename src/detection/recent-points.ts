import type { StateReader, StateWriter } from './state-codec.ts'

const KEPT = 384

/** The last points as they came, to show to a scorer that takes over. */
export class RecentPoints {
  readonly #values = new Float64Array(KEPT)
  /** In steps since the beginning: single precision is exact enough to find the place in a season, at half the space. */
  readonly #steps = new Float32Array(KEPT)
  #originMs = 0
  #stepMs = 1
  #size = 0
  #next = 0

  /** Call once, before the first `add`. */
  begin(originMs: number, stepMs: number): void {
    this.#originMs = originMs
    this.#stepMs = stepMs
  }

  add(timeMs: number, value: number): void {
    this.#values[this.#next] = value
    this.#steps[this.#next] = (timeMs - this.#originMs) / this.#stepMs
    this.#next = (this.#next + 1) % KEPT
    if (this.#size < KEPT) this.#size++
  }

  /** Calls `take` with each point, oldest first. */
  replay(take: (timeMs: number, value: number) => void): void {
    const oldest = this.#size < KEPT ? 0 : this.#next
    for (let i = 0; i < this.#size; i++) {
      const at = (oldest + i) % KEPT
      take(this.#originMs + this.#steps[at]! * this.#stepMs, this.#values[at]!)
    }
  }

  write(writer: StateWriter): void {
    for (const value of [this.#originMs, this.#stepMs, this.#next]) writer.number(value)
    writer.numbers(this.#values, this.#size)
    writer.singles(this.#steps, this.#size)
  }

  read(reader: StateReader): void {
    this.#originMs = reader.number()
    this.#stepMs = reader.number()
    this.#next = reader.number()
    this.#size = reader.numbers(this.#values)
    reader.singles(this.#steps)
  }
}
