import { fromBrief, toBrief } from './brief-number.ts'
import type { Bins } from './seasonality.ts'
import type { StateReader, StateWriter } from './state-codec.ts'

const MOST_PHASES = 336
const CLIP = 3
const REPEATS = 3

/** The usual course of one period: per phase a centre (relative to the level) and how lively that phase is compared to the others. */
export class SeasonalProfile {
  readonly periodMs: number
  readonly #phases: number
  readonly #centers: Float32Array
  readonly #liveliness: Uint16Array
  readonly #gain: number
  /** Whether a phase holds several points, so that its centre must not stand for all of them. */
  readonly #smooth: boolean
  /** The least that was left unexplained at each phase in so many repetitions in a row, always on the same side. */
  readonly #runErrors: Uint16Array
  readonly #runLengths: Uint8Array
  #amplitude = 0
  #passing = -1
  #passSum = 0
  #passZ = 0
  #passCount = 0

  constructor(periodMs: number, stepMs: number, gain: number) {
    this.periodMs = periodMs
    this.#phases = phasesOf(periodMs, stepMs)
    this.#centers = new Float32Array(this.#phases)
    this.#liveliness = new Uint16Array(this.#phases).fill(toBrief(1))
    this.#runErrors = new Uint16Array(this.#phases)
    this.#runLengths = new Uint8Array(this.#phases)
    this.#gain = gain
    this.#smooth = periodMs / this.#phases > 1.5 * stepMs
  }

  /** Learns from bins of the past: the median over the repetitions, each relative to the median of the period around it. */
  learn({ values: bins, originMs, widthMs }: Bins): void {
    const perPeriod = Math.max(1, Math.round(this.periodMs / widthMs))
    const gathered: number[][] = Array.from({ length: this.#phases }, () => [])
    const levels = blockMedians(bins, perPeriod)
    for (let i = 0; i < bins.length; i++) {
      const value = bins[i]! - levels[Math.floor(i / perPeriod)]!
      if (Number.isNaN(value)) continue
      const middle = this.#position(originMs + (i + 0.5) * widthMs)
      gathered[Math.floor(middle)]!.push(value)
    }
    for (let p = 0; p < this.#phases; p++)
      this.#centers[p] = gathered[p]!.length === 0 ? Number.NaN : median(gathered[p]!)
    this.#fillHoles()
    this.#amplitude =
      this.#centers.reduce((a, b) => Math.max(a, b)) - this.#centers.reduce((a, b) => Math.min(a, b))
  }

  /** From the lowest to the highest centre. */
  get amplitude(): number {
    return this.#amplitude
  }

  /** What to expect at this time, relative to the level. */
  offset(timeMs: number): number {
    const position = this.#position(timeMs)
    if (!this.#smooth) return this.#centers[Math.floor(position)]!
    const before = Math.floor(position - 0.5)
    const share = position - 0.5 - before
    const from = this.#centers[(before + this.#phases) % this.#phases]!
    return from * (1 - share) + this.#centers[(before + 1) % this.#phases]! * share
  }

  /** How lively this phase is compared to all, around 1. */
  spread(timeMs: number): number {
    return fromBrief(this.#liveliness[Math.floor(this.#position(timeMs))]!)
  }

  /** Takes in how far the value lay from what was expected (`residual`), and that in scales (`z`). */
  update(timeMs: number, residual: number, z: number): void {
    const phase = Math.floor(this.#position(timeMs))
    const size = Math.abs(z)
    const clipped = size > CLIP ? residual * (CLIP / size) : residual
    this.#centers[phase]! += this.#gain * clipped
    this.#pass(phase, residual, z)
    const spread = fromBrief(this.#liveliness[phase]!)
    // For a normal distribution the mean of |z| is 0.8.
    const seen = (Math.min(size, CLIP) * spread) / 0.8
    this.#liveliness[phase] = toBrief(Math.max(0.5, Math.min(8, spread + 0.5 * this.#gain * (seen - spread))))
  }

  /**
   * Learns slowly from each point, but at once what a phase does three times in a row (a weekend has two days): an edge that the past did not show
   * sharply, or a new course.
   */
  #pass(phase: number, residual: number, z: number): void {
    if (phase !== this.#passing) {
      if (this.#passCount > 0) this.#finishPass()
      this.#passing = phase
      this.#passSum = this.#passZ = this.#passCount = 0
    }
    this.#passSum += residual
    this.#passZ += z
    this.#passCount++
  }

  #finishPass(): void {
    const phase = this.#passing
    const error = this.#passSum / this.#passCount
    if (Math.abs(this.#passZ) <= CLIP * this.#passCount) {
      this.#runLengths[phase] = 0
      return
    }
    const before = this.#runLengths[phase] === 0 ? 0 : fromBrief(this.#runErrors[phase]!)
    const again = error * before > 0
    const least = again && Math.abs(before) < Math.abs(error) ? before : error
    this.#runErrors[phase] = toBrief(least)
    this.#runLengths[phase] = again ? this.#runLengths[phase]! + 1 : 1
    if (this.#runLengths[phase] < REPEATS) return
    this.#centers[phase]! += least
    this.#runLengths[phase] = 0
  }

  write(writer: StateWriter): void {
    writer.singles(this.#centers, this.#phases)
    writer.briefs(this.#liveliness, this.#phases)
    // Most phases are in no run: only those that are in one are kept.
    const inRun = [...this.#runLengths.keys()].filter((phase) => this.#runLengths[phase]! > 0)
    writer.briefs(Uint16Array.from(inRun), inRun.length)
    writer.briefs(
      Uint16Array.from(inRun, (phase) => this.#runErrors[phase]!),
      inRun.length,
    )
    writer.briefs(
      Uint16Array.from(inRun, (phase) => this.#runLengths[phase]!),
      inRun.length,
    )
    for (const value of [this.#amplitude, this.#passing, this.#passSum, this.#passZ, this.#passCount])
      writer.number(value)
  }

  read(reader: StateReader): void {
    reader.singles(this.#centers)
    reader.briefs(this.#liveliness)
    const column = (): Uint16Array => new Uint16Array(this.#phases)
    const [inRun, errors, lengths] = [column(), column(), column()]
    const runs = reader.briefs(inRun)
    reader.briefs(errors)
    reader.briefs(lengths)
    for (let i = 0; i < runs; i++) {
      this.#runErrors[inRun[i]!] = errors[i]!
      this.#runLengths[inRun[i]!] = lengths[i]!
    }
    this.#amplitude = reader.number()
    this.#passing = reader.number()
    this.#passSum = reader.number()
    this.#passZ = reader.number()
    this.#passCount = reader.number()
  }

  #position(timeMs: number): number {
    const within = timeMs % this.periodMs
    // A thousandth of a phase, so that rounding does not put a point at a boundary now here, now there.
    const position = ((within < 0 ? within + this.periodMs : within) / this.periodMs) * this.#phases + 1e-3
    return position >= this.#phases ? 0 : position
  }

  /** A straight line between the known phases on either side, around the end of the period. */
  #fillHoles(): void {
    const known = [...this.#centers.keys()].filter((p) => !Number.isNaN(this.#centers[p]!))
    if (known.length === 0) {
      this.#centers.fill(0)
      return
    }
    known.forEach((from, i) => {
      const to = i + 1 < known.length ? known[i + 1]! : known[0]! + this.#phases
      const last = this.#centers[to % this.#phases]!
      for (let p = from + 1; p < to; p++) {
        const share = (p - from) / (to - from)
        this.#centers[p % this.#phases] = this.#centers[from]! * (1 - share) + last * share
      }
    })
  }
}

function phasesOf(periodMs: number, stepMs: number): number {
  const exact = Math.round(periodMs / Math.max(1, stepMs))
  if (exact <= MOST_PHASES) return Math.max(2, exact)
  const divisor = Math.ceil(exact / MOST_PHASES)
  return Math.max(2, Math.round(exact / divisor))
}

function blockMedians(bins: Float64Array, width: number): Float64Array {
  const blocks = Math.ceil(bins.length / width)
  return Float64Array.from({ length: blocks }, (_, b) => {
    // The last block may be a stump: reach back for a whole period.
    const to = Math.min(bins.length, (b + 1) * width)
    return median([...bins.subarray(Math.max(0, to - width), to)].filter((v) => !Number.isNaN(v)))
  })
}

function median(values: number[]): number {
  if (values.length === 0) return Number.NaN
  values.sort((a, b) => a - b)
  const half = values.length >> 1
  return values.length % 2 === 1 ? values[half]! : values[half - 1]! / 2 + values[half]! / 2
}
