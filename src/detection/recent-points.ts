import { fromBrief, toBrief } from './brief-number.ts'
import type { Bins } from './seasonality.ts'
import type { StateReader, StateWriter } from './state-codec.ts'

const KEPT = 320
const LONGEST_GAP_STEPS = 1e6

/** The last points as they came, to show to a scorer that takes over. */
export class RecentPoints {
  readonly #values = new Float32Array(KEPT)
  /** How many steps after the one before each came; a step exactly is exact. */
  readonly #gaps = new Uint16Array(KEPT)
  #stepMs = 1
  #lastMs = 0
  #size = 0
  #next = 0

  /** Call once, before the first `add`. */
  begin(originMs: number, stepMs: number): void {
    this.#lastMs = originMs
    this.#stepMs = stepMs
  }

  add(timeMs: number, value: number): void {
    this.#values[this.#next] = value
    this.#gaps[this.#next] = toBrief(Math.min(LONGEST_GAP_STEPS, (timeMs - this.#lastMs) / this.#stepMs))
    this.#lastMs = timeMs
    this.#next = (this.#next + 1) % KEPT
    if (this.#size < KEPT) this.#size++
  }

  /** Calls `take` with each point, oldest first. Times are told back from the newest, which is exact. */
  replay(take: (timeMs: number, value: number) => void): void {
    const newest = this.#next + KEPT - 1
    let timeMs = this.#lastMs
    const times = new Float64Array(this.#size)
    for (let back = 0; back < this.#size; back++) {
      times[this.#size - 1 - back] = timeMs
      timeMs -= fromBrief(this.#gaps[(newest - back) % KEPT]!) * this.#stepMs
    }
    for (let i = 0; i < this.#size; i++) take(times[i]!, this.#values[(newest - this.#size + 1 + i) % KEPT]!)
  }

  /** The same in bins as wide as a step, the last of them where gaps make them many. */
  bins(): Bins {
    const widthMs = this.#stepMs
    const places: number[] = []
    const values: number[] = []
    this.replay((timeMs, value) => {
      places.push(Math.round((timeMs - this.#lastMs) / widthMs))
      values.push(value)
    })
    const first = Math.max(places[0] ?? 0, -4 * KEPT)
    const means = new Float64Array(1 - first).fill(Number.NaN)
    places.forEach((place, i) => {
      if (place >= first) means[place - first] = values[i]!
    })
    return { values: means, originMs: this.#lastMs + (first - 0.5) * widthMs, widthMs }
  }

  write(writer: StateWriter): void {
    for (const value of [this.#stepMs, this.#lastMs, this.#next]) writer.number(value)
    writer.singles(this.#values, this.#size)
    writer.briefs(this.#gaps, this.#size)
  }

  read(reader: StateReader): void {
    this.#stepMs = reader.number()
    this.#lastMs = reader.number()
    this.#next = reader.number()
    this.#size = reader.singles(this.#values)
    reader.briefs(this.#gaps)
  }
}
