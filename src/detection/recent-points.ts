import type { Bins } from './seasonality.ts'
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

  /** The same in bins as wide as a step, the last of them where gaps make them many. */
  bins(): Bins {
    const times: number[] = []
    const values: number[] = []
    this.replay((timeMs, value) => {
      times.push(timeMs)
      values.push(value)
    })
    const widthMs = this.#stepMs
    const place = (timeMs: number): number => Math.round((timeMs - this.#originMs) / widthMs)
    const last = place(times.at(-1) ?? this.#originMs)
    const first = Math.max(place(times[0] ?? this.#originMs), last - 4 * KEPT)
    const means = new Float64Array(last - first + 1).fill(Number.NaN)
    times.forEach((timeMs, i) => {
      if (place(timeMs) >= first) means[place(timeMs) - first] = values[i]!
    })
    return { values: means, originMs: this.#originMs + (first - 0.5) * widthMs, widthMs }
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
