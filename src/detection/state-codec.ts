import { NomalyError } from '../errors.ts'

/** A state as base64 texts: its numbers in double, single and lower precision. */
export interface WrittenState {
  readonly numbers: string
  readonly singles: string
  readonly briefs: string
}

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
    for (const single of bits) this.#singles.push(single)
  }

  /** Codes of 16 bits, as of `toBrief`. */
  briefs(codes: Uint16Array, length: number): void {
    this.#numbers.push(length)
    for (let i = 0; i < length; i++) this.#briefs.push(codes[i]!)
  }

  readonly #singles: number[] = []
  readonly #briefs: number[] = []

  /** Everything written so far, as base64 texts. */
  finish(): WrittenState {
    const text = (array: Float64Array | Uint32Array | Uint16Array): string =>
      Buffer.from(array.buffer).toString('base64')
    return {
      numbers: text(Float64Array.from(this.#numbers)),
      singles: text(Uint32Array.from(this.#singles)),
      briefs: text(Uint16Array.from(this.#briefs)),
    }
  }
}

/** Reads back what a {@link StateWriter} wrote, in the same order; throws `invalid_input` when it does not fit. */
export class StateReader {
  readonly #numbers: Float64Array
  readonly #singles: Uint32Array
  readonly #briefs: Uint16Array
  #at = 0
  #singleAt = 0
  #briefAt = 0

  constructor(state: WrittenState) {
    this.#numbers = new Float64Array(alignedBytes(state.numbers, 8))
    this.#singles = new Uint32Array(alignedBytes(state.singles, 4))
    this.#briefs = new Uint16Array(alignedBytes(state.briefs, 2))
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
    if (this.#singleAt + length > this.#singles.length) throw damaged()
    new Uint32Array(target.buffer).set(this.#singles.subarray(this.#singleAt, this.#singleAt + length))
    this.#singleAt += length
    return length
  }

  briefs(target: Uint16Array): number {
    const length = this.#length(target.length)
    if (this.#briefAt + length > this.#briefs.length) throw damaged()
    target.set(this.#briefs.subarray(this.#briefAt, this.#briefAt + length))
    this.#briefAt += length
    return length
  }

  #length(limit: number): number {
    const length = this.number()
    if (!Number.isInteger(length) || length < 0 || length > limit) throw damaged()
    return length
  }
}

function alignedBytes(text: string, unit: number): ArrayBuffer {
  if (typeof text !== 'string') throw damaged()
  const bytes = Buffer.from(text, 'base64')
  if (bytes.length % unit !== 0) throw damaged()
  return new Uint8Array(bytes).buffer
}

function damaged(): NomalyError {
  return new NomalyError('invalid_input', 'The saved state of a detector is damaged.', {
    hint: 'Discard it and let the detector read the series again from the start.',
  })
}
