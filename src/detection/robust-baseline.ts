import type { Baseline } from './baseline.ts'
import { SortedWindow } from './sorted-window.ts'
import type { StateReader, StateWriter } from './state-codec.ts'

const FAR = 3.5

/**
 * Rolling median and interquartile range over the last `window` values. When a run of values stays far on one side (a level shift), the window
 * starts afresh from that run, so that the new level is soon normal.
 */
export class RobustBaseline implements Baseline {
  readonly #window: SortedWindow
  readonly #run: Float32Array
  readonly #minimum: number
  #runLength = 0
  #runSide = 0
  #usualScale = 0

  constructor(window: number) {
    this.#window = new SortedWindow(window)
    this.#run = new Float32Array(Math.max(8, Math.min(48, Math.round(window / 6))))
    this.#minimum = Math.min(24, window)
  }

  get ready(): boolean {
    return this.#window.size >= this.#minimum
  }

  get center(): number {
    return this.#window.quantile(0.5)
  }

  get scale(): number {
    // A calm stretch must not make everyday noise look wild afterwards, hence half of what is usual as a floor.
    return Math.max(this.#windowScale(), this.#usualScale * 0.5)
  }

  update(value: number, z: number): void {
    this.#followRun(value, z)
    this.#window.push(value)
    const scale = this.#windowScale()
    if (this.#window.size >= this.#minimum) {
      const gain = this.#usualScale === 0 ? 1 : 1 / (4 * this.#window.capacity)
      this.#usualScale += gain * (scale - this.#usualScale)
    }
  }

  write(writer: StateWriter): void {
    this.#window.write(writer)
    writer.singles(this.#run, this.#runLength)
    writer.number(this.#runSide)
    writer.number(this.#usualScale)
  }

  read(reader: StateReader): void {
    this.#window.read(reader)
    this.#runLength = reader.singles(this.#run)
    this.#runSide = reader.number()
    this.#usualScale = reader.number()
  }

  #windowScale(): number {
    const w = this.#window
    const middle = (w.quantile(0.75) - w.quantile(0.25)) / 1.349
    // Data that mostly sits on one value has no interquartile range but still varies.
    return Math.max(middle, (w.quantile(0.95) - w.quantile(0.05)) / 3.29 / 2)
  }

  #followRun(value: number, z: number): void {
    const side = z > FAR ? 1 : z < -FAR ? -1 : 0
    if (side === 0 || side !== this.#runSide) this.#runLength = 0
    this.#runSide = side
    if (side === 0) return
    this.#run[this.#runLength++] = value
    if (this.#runLength < this.#run.length) return
    this.#window.clear()
    for (let i = 0; i < this.#runLength; i++) this.#window.push(this.#run[i]!)
    this.#runLength = 0
    this.#runSide = 0
  }
}
