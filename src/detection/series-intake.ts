import { looksLikeCounter } from './counter.ts'
import { SortedWindow } from './sorted-window.ts'
import type { StateReader, StateWriter } from './state-codec.ts'

/** What a `Date` can hold. */
const LARGEST_TIME_MS = 8.64e15
const LARGEST_VALUE = 1e150
/** What a counter may keep of its value at a reset. */
const LARGEST_RESET = 0.1
const LARGEST_SCALED = 1e30
const SMALL_QUANTILE = 0.1

/** Lets in what can be judged, and knows how a series arrives: its usual step, the smallest difference between values, whether it is a counter. */
export class SeriesIntake {
  readonly #intervals = new SortedWindow(63)
  #count = 0
  #ignored = 0
  #watermarkMs = Number.NEGATIVE_INFINITY
  #stepMs = 0
  #intervalMs = 0
  #counter = false
  #neverCounter = false
  #disproved = false
  #lowest = Number.POSITIVE_INFINITY
  #previous = Number.NaN
  #previousMs = Number.NaN
  readonly #differences = new SortedWindow(63)
  #resolution = 0
  #unit = 1
  #reference = 0

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

  /** Whether the last point showed that the series is no counter after all: it fell, and not to nearly nothing. */
  get disproved(): boolean {
    return this.#disproved
  }

  /** Judges the values themselves from now on. */
  stopCounting(): void {
    this.#counter = false
    this.#neverCounter = true
    this.#disproved = false
    this.#previous = Number.NaN
    this.#previousMs = Number.NaN
  }

  /** A small but usual difference between neighbours that differ, in units of {@link scaled}, before the last point; 0 while there was none. */
  get resolution(): number {
    return this.#resolution
  }

  /** Differences below this, in units of {@link scaled}, are rounding errors of the values. */
  get roundingError(): number {
    return Math.max((Math.abs(this.#reference) / this.#unit) * 1e-11, 1e-30)
  }

  /** A value in the series' own unit, about its usual spread, and from its usual level: exact in single precision. */
  scaled(analysed: number): number {
    return Math.fround(
      Math.max(-LARGEST_SCALED, Math.min(LARGEST_SCALED, (analysed - this.#reference) / this.#unit)),
    )
  }

  /** The value that {@link scaled} made this of. */
  unscaled(scaled: number): number {
    return scaled * this.#unit + this.#reference
  }

  /** The same for a difference. */
  unscaledDifference(scaled: number): number {
    return scaled * this.#unit
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

  /** Decides from the first values what kind of series this is, and in which unit it is best looked at. */
  begin(values: Float64Array): void {
    this.#stepMs = this.#intervals.quantile(0.5)
    this.#counter = !this.#neverCounter && looksLikeCounter(values, values.length)
    const seen = this.#counter ? values.slice(1).map((value, i) => Math.max(0, value - values[i]!)) : values
    const ascending = seen.toSorted()
    const at = (q: number): number => ascending[Math.floor(q * (ascending.length - 1))]!
    this.#reference = at(0.5)
    const size = at(0.9) / 2 - at(0.1) / 2 || Math.abs(this.#reference) || 1
    // A power of two divides without rounding.
    this.#unit = 2 ** Math.max(-1000, Math.min(1000, Math.round(Math.log2(size))))
  }

  /** What is judged: the value itself, or for a counter its growth over one usual step; undefined where there is none (the first point, a reset). */
  analyse(timeMs: number, value: number): number | undefined {
    const before = this.#previous
    const passedMs = timeMs - this.#previousMs
    this.#previous = value
    this.#previousMs = timeMs
    if (this.#counter) {
      this.#disproved = value < 0 || (value < before && value > before * LARGEST_RESET)
      return Number.isNaN(before) || value < before ? undefined : ((value - before) / passedMs) * this.#stepMs
    }
    this.#resolution = this.#differences.size === 0 ? 0 : this.#differences.quantile(SMALL_QUANTILE)
    const difference = Math.abs(value - before) / this.#unit
    if (difference > 0) this.#differences.push(Math.min(LARGEST_SCALED, difference))
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
    writer.flag(this.#neverCounter)
    for (const value of [this.#previous, this.#previousMs, this.#resolution, this.#unit, this.#reference]) {
      writer.number(value)
    }
    this.#differences.write(writer)
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
    this.#neverCounter = reader.flag()
    this.#previous = reader.number()
    this.#previousMs = reader.number()
    this.#resolution = reader.number()
    this.#unit = reader.number()
    this.#reference = reader.number()
    this.#differences.read(reader)
  }
}
