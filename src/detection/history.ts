import type { StateReader, StateWriter } from './state-codec.ts'

const BINS = 1024
const LONGEST_SPAN_MS = 42 * 86_400_000

/** The past in at most 1,024 equal time bins: bins double in width as the past grows, up to six weeks; then the oldest are dropped. */
export class History {
  readonly #means = new Float64Array(BINS).fill(Number.NaN)
  readonly #counts = new Float64Array(BINS)
  #widthMs = 0
  #originMs = 0
  #used = 0

  /** Width of a bin. */
  get widthMs(): number {
    return this.#widthMs
  }

  get originMs(): number {
    return this.#originMs
  }

  /** Mean of each bin from the oldest on, NaN where nothing was seen. */
  bins(): Float64Array {
    return this.#means.slice(0, this.#used)
  }

  get spanMs(): number {
    return this.#used * this.#widthMs
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
    this.#used = Math.max(this.#used, bin + 1)
    const count = ++this.#counts[bin]!
    const before = count === 1 ? 0 : this.#means[bin]!
    this.#means[bin] = before + (value - before) / count
  }

  write(writer: StateWriter): void {
    for (const value of [this.#widthMs, this.#originMs, this.#used]) writer.number(value)
    writer.numbers(this.#means, this.#used)
    writer.singles(Float32Array.from(this.#counts), this.#used)
  }

  read(reader: StateReader): void {
    this.#widthMs = reader.number()
    this.#originMs = reader.number()
    this.#used = reader.number()
    reader.numbers(this.#means)
    const counts = new Float32Array(BINS)
    reader.singles(counts)
    this.#counts.set(counts)
  }

  #halve(): void {
    for (let i = 0; i < BINS / 2; i++) {
      const left = this.#counts[2 * i]!
      const right = this.#counts[2 * i + 1]!
      const count = left + right
      const sum =
        (left > 0 ? this.#means[2 * i]! * (left / count) : 0) +
        (right > 0 ? this.#means[2 * i + 1]! * (right / count) : 0)
      this.#means[i] = count === 0 ? Number.NaN : sum
      this.#counts[i] = count
    }
    this.#means.fill(Number.NaN, BINS / 2)
    this.#counts.fill(0, BINS / 2)
    this.#used = Math.ceil(this.#used / 2)
    this.#widthMs *= 2
  }

  #slide(by: number): void {
    if (by >= BINS) {
      this.#means.fill(Number.NaN)
      this.#counts.fill(0)
      this.#used = 0
    } else {
      this.#means.copyWithin(0, by)
      this.#means.fill(Number.NaN, BINS - by)
      this.#counts.copyWithin(0, by)
      this.#counts.fill(0, BINS - by)
      this.#used = Math.max(0, this.#used - by)
    }
    this.#originMs += by * this.#widthMs
  }
}
