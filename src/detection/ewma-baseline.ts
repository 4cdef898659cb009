import type { Baseline } from './baseline.ts'
import type { StateReader, StateWriter } from './state-codec.ts'

const CLIP = 3
const SHIFT_RUN = 8

/**
 * Exponentially weighted mean and variance (Roberts 1959; West 1979). Far values count as if they lay three deviations away; a run of eight far values
 * on one side is a level shift and moves the mean there.
 */
export class EwmaBaseline implements Baseline {
  readonly #alpha: number
  #mean = 0
  #deviation = 0
  #count = 0
  #run = 0
  #runMean = 0

  constructor(alpha: number) {
    this.#alpha = alpha
  }

  get ready(): boolean {
    return this.#count >= 24
  }

  get center(): number {
    return this.#mean
  }

  get scale(): number {
    return this.#deviation
  }

  update(value: number, z: number): void {
    this.#count++
    const gain = Math.max(this.#alpha, 1 / this.#count)
    const spreadGain = Math.max(this.#alpha / 5, 1 / this.#count)
    if (this.#count === 1) {
      this.#mean = value
      return
    }
    const raw = value - this.#mean
    const limit = CLIP * this.#deviation
    const clipped = this.ready && limit > 0 ? Math.max(-limit, Math.min(limit, raw)) : raw
    this.#mean += gain * clipped
    this.#deviation = Math.hypot(Math.sqrt(1 - spreadGain) * this.#deviation, Math.sqrt(spreadGain) * clipped)
    this.#followRun(value, z)
  }

  write(writer: StateWriter): void {
    for (const value of [this.#mean, this.#deviation, this.#count, this.#run, this.#runMean])
      writer.number(value)
  }

  read(reader: StateReader): void {
    this.#mean = reader.number()
    this.#deviation = reader.number()
    this.#count = reader.number()
    this.#run = reader.number()
    this.#runMean = reader.number()
  }

  #followRun(value: number, z: number): void {
    const side = z > CLIP ? 1 : z < -CLIP ? -1 : 0
    if (side === 0) {
      this.#run = 0
      return
    }
    this.#run = Math.sign(this.#run) === side ? this.#run + side : side
    const length = Math.abs(this.#run)
    this.#runMean = length === 1 ? value : this.#runMean + (value - this.#runMean) / length
    if (length < SHIFT_RUN) return
    this.#mean = this.#runMean
    this.#run = 0
  }
}
