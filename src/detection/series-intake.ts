import { looksLikeCounter } from './counter.ts'
import { SortedWindow } from './sorted-window.ts'
import type { StateReader, StateWriter } from './state-codec.ts'

/** What a `Date` can hold. */
const LARGEST_TIME_MS = 8.64e15
const LARGEST_VALUE = 1e150

/** Lets in what can be judged, and knows how a series arrives: its usual step, the smallest difference between values, whether it is a counter. */
export class SeriesIntake {
  readonly #intervals = new SortedWindow(63)
  #count = 0
  #ignored = 0
  #watermarkMs = Number.NEGATIVE_INFINITY
  #stepMs = 0
  #intervalMs = 0
  #counter = false
  #lowest = Number.POSITIVE_INFINITY
  #previous = Number.NaN
  #previousMs = Number.NaN
  #resolution = 0
  #nextResolution = Number.POSITIVE_INFINITY

  /** Points let in. */
  get count(): number {
    return this.#count
  }

  /** Points left out: not a finite number, late, or a double. */
  get ignored(): number {
    return this.#ignored
  }

  /** Time of the last point let in; -Infinity before the first. */
  get watermarkMs(): number {
    return this.#watermarkMs
  }

  /** Median time from one point to the next, lately. */
  get stepMs(): number {
    return this.#stepMs
  }

  /** Whether no value was ever below zero. */
  get neverNegative(): boolean {
    return this.#lowest >= 0
  }

  get counter(): boolean {
    return this.#counter
  }

  /** The smallest difference between neighbours before the last point; 0 while there was none. */
  get resolution(): number {
    return this.#resolution
  }

  /** Whether much was missing just before the last point. */
  get afterGap(): boolean {
    return this.#intervalMs > 20 * this.#stepMs
  }

  /** The value to work with, cut off at ±1e150 so that nothing overflows; undefined for a point that is left out. */
  accept(timeMs: number, value: number): number | undefined {
    if (!Number.isFinite(value) || !(Math.abs(timeMs) <= LARGEST_TIME_MS) || timeMs <= this.#watermarkMs) {
      this.#ignored++
      return undefined
    }
    if (this.#count > 0) {
      this.#intervalMs = timeMs - this.#watermarkMs
      this.#intervals.push(this.#intervalMs)
    }
    this.#watermarkMs = timeMs
    this.#count++
    if (this.#count % 64 === 0) this.#stepMs = this.#intervals.quantile(0.5)
    this.#lowest = Math.min(this.#lowest, value)
    return Math.max(-LARGEST_VALUE, Math.min(LARGEST_VALUE, value))
  }

  /** Decides from the first values what kind of series this is. */
  begin(values: Float64Array): void {
    this.#stepMs = this.#intervals.quantile(0.5)
    this.#counter = looksLikeCounter(values, values.length)
  }

  /** What is judged: the value itself, or for a counter its growth over one usual step; undefined where there is none (the first point, a reset). */
  analyse(timeMs: number, value: number): number | undefined {
    const before = this.#previous
    const passedMs = timeMs - this.#previousMs
    this.#previous = value
    this.#previousMs = timeMs
    if (this.#counter) {
      return Number.isNaN(before) || value < before ? undefined : ((value - before) / passedMs) * this.#stepMs
    }
    this.#resolution = Number.isFinite(this.#nextResolution) ? this.#nextResolution : 0
    const difference = Math.abs(value - before)
    if (difference > 0 && difference < this.#nextResolution) this.#nextResolution = difference
    return value
  }

  write(writer: StateWriter): void {
    this.#intervals.write(writer)
    for (const value of [
      this.#count,
      this.#ignored,
      this.#watermarkMs,
      this.#stepMs,
      this.#intervalMs,
      this.#lowest,
    ])
      writer.number(value)
    writer.flag(this.#counter)
    for (const value of [this.#previous, this.#previousMs, this.#resolution, this.#nextResolution]) {
      writer.number(value)
    }
  }

  read(reader: StateReader): void {
    this.#intervals.read(reader)
    this.#count = reader.number()
    this.#ignored = reader.number()
    this.#watermarkMs = reader.number()
    this.#stepMs = reader.number()
    this.#intervalMs = reader.number()
    this.#lowest = reader.number()
    this.#counter = reader.flag()
    this.#previous = reader.number()
    this.#previousMs = reader.number()
    this.#resolution = reader.number()
    this.#nextResolution = reader.number()
  }
}
