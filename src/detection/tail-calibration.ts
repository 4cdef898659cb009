import { fromBrief, toBrief } from './brief-number.ts'
import { fitPareto, paretoExcess, paretoSurvival } from './pareto-tail.ts'
import type { StateReader, StateWriter } from './state-codec.ts'

const LEVEL = 0.02
const BURN_IN = 50
const KEPT = 160
const MEMORY_POINTS = 20_000
const RUN_POINTS = 10
const SMALLEST_SHAPE = -0.1
const LARGEST_SHAPE = 0.8
/** How many of the largest scores tell how the far tail goes on, and what is believed of it before: as many scores as the prior weighs. */
const TOP = 16
const PRIOR_FAR_SHAPE = 0.4
const PRIOR_FAR_WEIGHT = 5
const LARGEST_FAR_SHAPE = 0.6
/** Where the tail is bent, and how much. */
const FARTHEST = 6
const BENT = 0.1

/**
 * Turns any score into how rarely one so high starts an event while all is well: a streaming extreme-value tail (SPOT, Siffer et al., KDD 2017) whose
 * level follows the 98 % quantile, times the extremal index (Leadbetter 1983: rare points come in clusters, and a user is alarmed once per cluster).
 */
export class TailCalibration {
  readonly #smallestScale: number
  readonly #ceiling: number
  readonly #excesses = new Uint16Array(KEPT)
  readonly #first = new Float32Array(BURN_IN)
  #size = 0
  #next = 0
  #points = 0
  #exceedances = 0
  #clusters = 0
  #sinceExceedance = RUN_POINTS
  #level = 0
  #scale: number
  #shape = 0.2
  #untilFit = 0
  #largest = 0
  #farShape = PRIOR_FAR_SHAPE

  /**
   * `smallestScale`: the least spread of excesses to believe in, in units of the score, so that ties do not make every difference impossible.
   * `ceiling`: what the score cannot pass.
   */
  constructor(smallestScale: number, ceiling = Number.POSITIVE_INFINITY) {
    this.#ceiling = ceiling
    this.#smallestScale = smallestScale
    this.#scale = smallestScale
  }

  /** Whether enough scores were seen to judge one. */
  get ready(): boolean {
    return this.#points >= BURN_IN
  }

  /** Per point, the probability that an event at least this extreme begins; 1 for everyday scores. */
  probability(score: number): number {
    const excess = score - this.#level
    if (!(excess > 0)) return 1
    const rate = this.#rate()
    const fitted = rate * paretoSurvival({ scale: this.#scale, shape: this.#shape }, excess)
    const reach = this.#reach()
    if (score <= reach) return Math.min(1, fitted)
    const bounded = reach < this.#ceiling && this.#ceiling !== Number.POSITIVE_INFINITY
    const room = bounded ? (this.#ceiling - reach) / Math.max(1e-9, this.#ceiling - score) : 1
    const beyond = Math.max(unbend(score / reach), room)
    return Math.min(1, fitted, this.#rateOfRecords() * Math.pow(beyond, -1 / this.#farShape))
  }

  /** The score whose {@link probability} is the one given. */
  scoreAt(probability: number): number {
    const fitted =
      this.#level + paretoExcess({ scale: this.#scale, shape: this.#shape }, probability / this.#rate())
    const reach = this.#reach()
    const beyond = Math.pow(Math.max(1, this.#rateOfRecords() / probability), this.#farShape)
    return Math.min(fitted, reach * bend(beyond), this.#belowCeiling(reach, beyond))
  }

  /** A score that cannot pass a ceiling is the rarer the less room it leaves there. */
  #belowCeiling(reach: number, beyond: number): number {
    if (!(reach < this.#ceiling) || this.#ceiling === Number.POSITIVE_INFINITY)
      return Number.POSITIVE_INFINITY
    return this.#ceiling - (this.#ceiling - reach) / beyond
  }

  /** Takes a score in. Scores of an event under way are left out by the caller, so that an anomaly does not teach that it is normal. */
  add(score: number): void {
    if (this.#points < BURN_IN) {
      this.#first[this.#points++] = score
      if (this.#points === BURN_IN) this.#begin()
      return
    }
    this.#points++
    const tie = Math.abs(score - this.#level) <= this.#smallestScale * 1e-3
    const above = score > this.#level && !tie
    if (above) this.#exceed(score - this.#level)
    else this.#sinceExceedance++
    // Robbins and Monro's quantile: the ideal gain is 1 / (points · density), and an exponential tail has density LEVEL / scale at the level.
    const gain = this.#scale / LEVEL / Math.min(this.#points, 2000)
    // On a tie the level stays: a score that is always the same must not be pushed over it by a drift.
    if (!tie) this.#level += gain * ((above ? 1 : 0) - LEVEL)
    if (this.#points > MEMORY_POINTS) {
      this.#points *= 0.5
      this.#exceedances *= 0.5
      this.#clusters *= 0.5
    }
  }

  write(writer: StateWriter): void {
    writer.briefs(this.#excesses, this.#size)
    writer.singles(this.#first, Math.min(BURN_IN, this.#points >= BURN_IN ? 0 : this.#points))
    for (const value of [this.#size, this.#next, this.#points, this.#exceedances, this.#clusters])
      writer.number(value)
    for (const value of [this.#sinceExceedance, this.#level, this.#scale, this.#shape, this.#untilFit])
      writer.number(value)
    writer.number(this.#largest)
    writer.number(this.#farShape)
  }

  read(reader: StateReader): void {
    reader.briefs(this.#excesses)
    reader.singles(this.#first)
    this.#size = reader.number()
    this.#next = reader.number()
    this.#points = reader.number()
    this.#exceedances = reader.number()
    this.#clusters = reader.number()
    this.#sinceExceedance = reader.number()
    this.#level = reader.number()
    this.#scale = reader.number()
    this.#shape = reader.number()
    this.#untilFit = reader.number()
    this.#largest = reader.number()
    this.#farShape = reader.number()
  }

  #rate(): number {
    return (this.#extremalIndex() * (this.#exceedances + 1)) / (this.#points + 2)
  }

  #extremalIndex(): number {
    return Math.max(0.1, Math.min(1, (this.#clusters + 2) / (this.#exceedances + 2)))
  }

  /** How often a score beyond all that is remembered comes. */
  #rateOfRecords(): number {
    return this.#extremalIndex() / (Math.min(this.#points, MEMORY_POINTS) + 2)
  }

  #reach(): number {
    return Math.max(this.#largest, 4 * this.#smallestScale)
  }

  #begin(): void {
    const ascending = this.#first.toSorted()
    // A fiftieth of fifty points is one point: begin lower, and let the level climb to its place.
    this.#level = ascending[Math.floor(BURN_IN * 0.92)]!
    for (const score of this.#first) {
      if (score > this.#level) this.#exceed(score - this.#level)
      else this.#sinceExceedance++
    }
    this.#fit()
  }

  #exceed(excess: number): void {
    this.#exceedances++
    if (this.#sinceExceedance >= RUN_POINTS) this.#clusters++
    this.#sinceExceedance = 0
    this.#largest = Math.max(this.#largest, this.#level + excess)
    this.#excesses[this.#next] = toBrief(excess)
    this.#next = (this.#next + 1) % KEPT
    if (this.#size < KEPT) this.#size++
    if (this.#points >= BURN_IN && --this.#untilFit <= 0) this.#fit()
  }

  #fit(): void {
    this.#untilFit = Math.max(1, Math.floor(this.#size / 12))
    if (this.#size === 0) return
    const ascending = Float64Array.from(this.#excesses.subarray(0, this.#size).toSorted(), fromBrief)
    const fit = fitPareto(ascending)
    this.#scale = Math.max(fit.scale, this.#smallestScale)
    this.#shape = Math.min(LARGEST_SHAPE, Math.max(SMALLEST_SHAPE, fit.shape))
    this.#lookFar(ascending)
  }

  /**
   * Hill's estimate from the largest scores (Annals of Statistics 1975), drawn to a prior. The Pareto fit sees the bulk of the excesses and may believe
   * in a tail that goes on for ever where there are two kinds of points; beyond the largest score ever seen, both must allow it.
   */
  #lookFar(ascending: Float64Array): void {
    // A quarter of the excesses is tail, the rest is bulk.
    const top = Math.min(TOP, Math.floor(ascending.length / 4))
    this.#largest = this.#level + ascending.at(-1)!
    const least = 4 * this.#smallestScale
    const score = (i: number): number => Math.max(least, this.#level + ascending[i]!)
    const first = ascending.length - top
    let sum = 0
    for (let i = first; i < ascending.length; i++) sum += Math.log(score(i) / score(first - 1))
    const shape = (sum + PRIOR_FAR_WEIGHT * PRIOR_FAR_SHAPE) / (top + PRIOR_FAR_WEIGHT)
    this.#farShape = Math.min(LARGEST_FAR_SHAPE, shape)
  }
}

/** How many times the largest score ever seen a tail is followed; further out, ten times rarer is hardly further. */
function bend(beyond: number): number {
  return beyond <= FARTHEST ? beyond : FARTHEST * (1 + BENT * Math.log(beyond / FARTHEST))
}

/** The inverse of {@link bend}. */
function unbend(bent: number): number {
  return bent <= FARTHEST ? bent : FARTHEST * Math.exp((bent / FARTHEST - 1) / BENT)
}
