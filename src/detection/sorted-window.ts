import type { StateReader, StateWriter } from './state-codec.ts'

/** The last `capacity` values in single precision, also kept in order, so that any quantile costs nothing; a push costs one binary search and one memory move. */
export class SortedWindow {
  readonly capacity: number
  readonly #ring: Float32Array
  readonly #sorted: Float32Array
  #size = 0
  #next = 0

  constructor(capacity: number) {
    this.capacity = capacity
    this.#ring = new Float32Array(capacity)
    this.#sorted = new Float32Array(capacity)
  }

  get size(): number {
    return this.#size
  }

  /** Must be finite, also in single precision. */
  push(exact: number): void {
    const value = Math.fround(exact)
    const sorted = this.#sorted
    const to = this.#lowerBound(value)
    if (this.#size < this.capacity) {
      sorted.copyWithin(to + 1, to, this.#size)
      sorted[to] = value
      this.#size++
    } else {
      const from = this.#lowerBound(this.#ring[this.#next]!)
      if (from < to) {
        sorted.copyWithin(from, from + 1, to)
        sorted[to - 1] = value
      } else {
        sorted.copyWithin(to + 1, to, from)
        sorted[to] = value
      }
    }
    this.#ring[this.#next] = value
    this.#next = this.#next + 1 === this.capacity ? 0 : this.#next + 1
  }

  /** The `q` quantile, 0..1, interpolated; NaN when empty. */
  quantile(q: number): number {
    const size = this.#size
    if (size === 0) return Number.NaN
    const position = q * (size - 1)
    const below = Math.floor(position)
    const low = this.#sorted[below]!
    if (below + 1 >= size) return low
    const share = position - below
    return share === 0 ? low : low * (1 - share) + this.#sorted[below + 1]! * share
  }

  clear(): void {
    this.#size = 0
    this.#next = 0
  }

  write(writer: StateWriter): void {
    const oldest = this.#size < this.capacity ? 0 : this.#next
    const inOrder = new Float32Array(this.#size)
    for (let i = 0; i < this.#size; i++) inOrder[i] = this.#ring[(oldest + i) % this.capacity]!
    writer.singles(inOrder, this.#size)
  }

  read(reader: StateReader): void {
    const inOrder = new Float32Array(this.capacity)
    const length = reader.singles(inOrder)
    this.clear()
    for (let i = 0; i < length; i++) this.push(inOrder[i]!)
  }

  #lowerBound(value: number): number {
    let low = 0
    let high = this.#size
    while (low < high) {
      const middle = (low + high) >>> 1
      if (this.#sorted[middle]! < value) low = middle + 1
      else high = middle
    }
    return low
  }
}
