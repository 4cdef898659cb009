import { NomalyError } from '../errors.ts'

/** Collects the numbers of a state machine in a fixed order; what is read back is bit for bit the same, NaN and infinities included. */
export class StateWriter {
  readonly #numbers: number[] = []

  number(value: number): void {
    this.#numbers.push(value)
  }

  flag(value: boolean): void {
    this.#numbers.push(value ? 1 : 0)
  }

  numbers(values: ArrayLike<number>, length: number = values.length): void {
    this.#numbers.push(length)
    for (let i = 0; i < length; i++) this.#numbers.push(values[i]!)
  }

  /** Single precision numbers, at half the space. */
  singles(values: Float32Array, length: number): void {
    // Kept as integers: two floats read as one double may be a NaN, whose payload would not survive.
    const bits = new Uint32Array(values.buffer, values.byteOffset, length)
    this.#numbers.push(length)
    for (const half of bits) this.#halves.push(half)
  }

  readonly #halves: number[] = []

  /** Everything written so far, as two base64 texts. */
  finish(): { readonly numbers: string; readonly singles: string } {
    const numbers = Buffer.from(Float64Array.from(this.#numbers).buffer)
    const singles = Buffer.from(Uint32Array.from(this.#halves).buffer)
    return { numbers: numbers.toString('base64'), singles: singles.toString('base64') }
  }
}

/** Reads back what a {@link StateWriter} wrote, in the same order; throws `invalid_input` when it does not fit. */
export class StateReader {
  readonly #numbers: Float64Array
  readonly #halves: Uint32Array
  #at = 0
  #halfAt = 0

  constructor(state: { readonly numbers: string; readonly singles: string }) {
    this.#numbers = new Float64Array(alignedBytes(state.numbers, 8))
    this.#halves = new Uint32Array(alignedBytes(state.singles, 4))
  }

  number(): number {
    const value = this.#numbers[this.#at++]
    if (value === undefined) throw damaged()
    return value
  }

  flag(): boolean {
    return this.number() === 1
  }

  /** Fills the beginning of `target` and answers how many numbers there were. */
  numbers(target: Float64Array): number {
    const length = this.#length(target.length)
    if (this.#at + length > this.#numbers.length) throw damaged()
    target.set(this.#numbers.subarray(this.#at, this.#at + length))
    this.#at += length
    return length
  }

  singles(target: Float32Array): number {
    const length = this.#length(target.length)
    if (this.#halfAt + length > this.#halves.length) throw damaged()
    new Uint32Array(target.buffer).set(this.#halves.subarray(this.#halfAt, this.#halfAt + length))
    this.#halfAt += length
    return length
  }

  #length(limit: number): number {
    const length = this.number()
    if (!Number.isInteger(length) || length < 0 || length > limit) throw damaged()
    return length
  }
}

function alignedBytes(text: string, unit: number): ArrayBuffer {
  const bytes = Buffer.from(text, 'base64')
  if (bytes.length % unit !== 0) throw damaged()
  return new Uint8Array(bytes).buffer
}

function damaged(): NomalyError {
  return new NomalyError('invalid_input', 'The saved state of a detector is damaged.', {
    hint: 'Discard it and let the detector read the series again from the start.',
  })
}
