import type { Bins } from './seasonality.ts'
import type { StateReader, StateWriter } from './state-codec.ts'

const BINS = 768
const LONGEST_SPAN_MS = 42 * 86_400_000

/** The past in at most 768 equal time bins: bins double in width as the past grows, up to six weeks; then the oldest are dropped. */
export class History {
  readonly #means = new Float32Array(BINS).fill(Number.NaN)
  #widthMs = 0
  #originMs = 0
  #used = 0
  #newestCount = 0

  /** Width of a bin. */
  get widthMs(): number {
    return this.#widthMs
  }

  bins(): Bins {
    return {
      values: Float64Array.from(this.#means.subarray(0, this.#used)),
      originMs: this.#originMs,
      widthMs: this.#widthMs,
    }
  }

  /** Sets the first width; call once, before the first `add`. */
  begin(originMs: number, widthMs: number): void {
    this.#originMs = originMs
    this.#widthMs = widthMs
  }

  add(timeMs: number, value: number): void {
    let bin = Math.floor((timeMs - this.#originMs) / this.#widthMs)
    if (bin < 0) return
    while (bin >= BINS) {
      if (BINS * this.#widthMs < LONGEST_SPAN_MS) this.#halve()
      else this.#slide(bin - BINS + 1 + BINS / 16)
      bin = Math.floor((timeMs - this.#originMs) / this.#widthMs)
    }
    // Times ascend, so that only the newest bin is still being filled.
    if (bin >= this.#used) {
      this.#used = bin + 1
      this.#newestCount = 0
    }
    const before = this.#newestCount === 0 ? 0 : this.#means[bin]!
    this.#newestCount++
    this.#means[bin] = before + (value - before) / this.#newestCount
  }

  write(writer: StateWriter): void {
    for (const value of [this.#widthMs, this.#originMs, this.#used, this.#newestCount]) writer.number(value)
    writer.singles(this.#means, this.#used)
  }

  read(reader: StateReader): void {
    this.#widthMs = reader.number()
    this.#originMs = reader.number()
    this.#used = reader.number()
    this.#newestCount = reader.number()
    reader.singles(this.#means)
  }

  #halve(): void {
    for (let i = 0; i < BINS / 2; i++) {
      const left = this.#means[2 * i]!
      const right = this.#means[2 * i + 1]!
      this.#means[i] = Number.isNaN(left) ? right : Number.isNaN(right) ? left : left / 2 + right / 2
    }
    this.#means.fill(Number.NaN, BINS / 2)
    // The newest pair may have been half full: what comes weighs the same as what was there.
    if (this.#used % 2 === 0) this.#newestCount *= 2
    this.#used = Math.ceil(this.#used / 2)
    this.#widthMs *= 2
  }

  #slide(by: number): void {
    if (by >= BINS) {
      this.#means.fill(Number.NaN)
      this.#used = 0
    } else {
      this.#means.copyWithin(0, by)
      this.#means.fill(Number.NaN, BINS - by)
      this.#used = Math.max(0, this.#used - by)
    }
    this.#originMs += by * this.#widthMs
  }
}
