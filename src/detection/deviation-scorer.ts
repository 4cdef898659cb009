import type { Baseline } from './baseline.ts'
import type { SeasonalProfile } from './seasonal-profile.ts'
import type { Bins } from './seasonality.ts'
import { SortedWindow } from './sorted-window.ts'
import type { StateReader, StateWriter } from './state-codec.ts'

/** The ways in which a point can be unusual; each is calibrated by itself and gets its share of the false-alarm budget. */
export const CHANNELS = [
  'above',
  'below',
  'jump-up',
  'jump-down',
  'long-above',
  'long-below',
  'restless',
  'frozen',
] as const
export type Channel = (typeof CHANNELS)[number]

const LARGEST_Z = 1e4
/** The same while nothing is known of how the values vary, because they never did. */
const LARGEST_BLIND_Z = 50
const SINGLE_ERROR = 2e-7
const USUAL_GAIN = 1 / 512
/** `long-above`, `long-below` and `restless`. */
const FIRST_AVERAGE = 4
const LAST_AVERAGE = 6
const SLOW_GAIN = 1 / 24
/** Deviations count at most this much in the averages of `long-above`, `long-below` and `restless`. */
export const SLOW_CLIP = 6
const MOVEMENT_GAIN = 1 / 100
const STEP_WINDOW = 193

/** Scores each point against what is normal now: baseline, season and the usual step from one point to the next. */
export class DeviationScorer {
  /** The last point's score by channel, in the order of {@link CHANNELS}. */
  readonly scores = new Float64Array(CHANNELS.length)
  /**
   * The same as a lesson of what is usual: a standstill teaches its whole length once, when it ends, and an average that extremes
   * drive up teaches how far it rose when it falls again, so that what lasts does not become normal on its way.
   */
  readonly lessons = new Float64Array(CHANNELS.length)
  /** What was expected of the last point, and one usual deviation there; NaN while warming up. */
  expected = Number.NaN
  scale = Number.NaN
  /** The same going by the point before and the usual step. */
  expectedNext = Number.NaN
  stepScale = Number.NaN
  readonly #roundingError: number
  readonly #baseline: Baseline
  readonly #profile: SeasonalProfile | undefined
  readonly #steps = new SortedWindow(STEP_WINDOW)
  readonly #averages = new Float64Array(LAST_AVERAGE - FIRST_AVERAGE + 1)
  readonly #averageLessons = new Float64Array(LAST_AVERAGE - FIRST_AVERAGE + 1)
  #previous = Number.NaN
  #slow = 0
  #restless = 1
  #same = 0
  #previousValue = Number.NaN
  #movement = 0
  #movedBefore = false
  #usualLevel = 0
  #usualDeviation = 0

  /** `roundingError`: differences below it mean nothing. */
  constructor(baseline: Baseline, profile: SeasonalProfile | undefined, roundingError: number) {
    this.#roundingError = roundingError
    this.#baseline = baseline
    this.#profile = profile
  }

  get ready(): boolean {
    return this.#baseline.ready && this.#steps.size >= 16
  }

  /** Scores a point and takes it in. `resolution` is a small but usual difference between values; `inflate` multiplies the scores. */
  take(timeMs: number, value: number, resolution: number, inflate = 1): void {
    const { scores } = this
    const offset = this.#profile?.offset(timeMs) ?? 0
    const spread = this.#profile?.spread(timeMs) ?? 1
    const level = Math.fround(value - offset)
    const wasReady = this.ready
    const center = this.#baseline.center
    const amplitude = this.#profile?.amplitude ?? 0
    // On and off, day by day: the step between two states is no measure of precision once the season explains it.
    const grain = amplitude > 0 ? Math.min(resolution / 2, amplitude / 20) : resolution / 2
    const numeric = Math.max(Math.abs(this.#usualLevel) * SINGLE_ERROR, this.#roundingError)
    // Half of the usual deviation: where most values are equal, the others tell the measure.
    const floor = Math.max(grain, amplitude / 200, this.#usualDeviation / 2, numeric)
    this.#usualLevel = Number.isNaN(center) ? value : center
    const scale = Math.max(this.#baseline.scale * spread, floor)
    const residual = level - center
    const largest = scale > numeric ? LARGEST_Z : LARGEST_BLIND_Z
    const z = this.#baseline.ready ? clip(residual / scale, largest) : 0
    const step = Number.isNaN(this.#previous) ? 0 : level - this.#previous
    const stepScale = this.#steps.size >= 16 ? Math.max(this.#stepScale(), floor, scale * 0.1) : scale
    const stepZ = this.#steps.size >= 16 ? clip((step - this.#steps.quantile(0.5)) / stepScale, largest) : 0
    if (this.#baseline.ready) {
      // Cut off, so that one wild value does not make the next ones look small.
      const size = Math.min(Math.abs(residual) / spread, 100 * scale)
      this.#usualDeviation += USUAL_GAIN * (size - this.#usualDeviation)
    }
    this.#slow += SLOW_GAIN * (clip(z, SLOW_CLIP) - this.#slow)
    this.#restless += SLOW_GAIN * (Math.min(Math.abs(stepZ), SLOW_CLIP) - this.#restless)
    const standstill = this.#same
    this.#same = value === this.#previousValue ? this.#same + 1 : 0
    this.#previousValue = value
    // Standing still is only news for a series that normally moves.
    if (standstill === 0) this.#movedBefore = this.#movement > 0.5
    this.#movement += MOVEMENT_GAIN * ((this.#same === 0 ? 1 : 0) - this.#movement)
    scores[0] = z * inflate
    scores[1] = -z * inflate
    scores[2] = stepZ
    scores[3] = -stepZ
    scores[4] = this.#slow * inflate
    scores[5] = -this.#slow * inflate
    scores[6] = this.#restless
    scores[7] = this.#movedBefore ? this.#same : 0
    this.lessons.set(scores)
    const clipped = Math.max(Math.abs(z), Math.abs(stepZ)) > SLOW_CLIP
    for (let channel = FIRST_AVERAGE; channel <= LAST_AVERAGE; channel++) {
      const at = channel - FIRST_AVERAGE
      const before = this.#averages[at]!
      this.#averages[at] = scores[channel]!
      if (scores[channel]! <= before) this.#averageLessons[at] = before
      else if (!clipped) this.#averageLessons[at] = scores[channel]!
      this.lessons[channel] = this.#averageLessons[at]!
    }
    this.lessons[7] = this.#same === 0 ? standstill : 0
    this.expectedNext = Number.isNaN(this.#previous)
      ? value
      : this.#previous + offset + this.#steps.quantile(0.5)
    this.stepScale = stepScale
    this.expected = wasReady ? center + offset : Number.NaN
    this.scale = wasReady ? scale : Number.NaN
    if (!Number.isNaN(this.#previous)) this.#steps.push(step)
    this.#previous = level
    this.#baseline.update(level, z)
    if (wasReady) this.#profile?.update(timeMs, residual, z)
  }

  /** Learns the season from bins of the past; does nothing without one. */
  learnSeason(bins: Bins): void {
    this.#profile?.learn(bins)
  }

  /** After a gap the step to the next point says nothing. */
  forgetPrevious(): void {
    this.#previous = Number.NaN
    this.#previousValue = Number.NaN
    this.#same = 0
  }

  write(writer: StateWriter): void {
    this.#baseline.write(writer)
    this.#profile?.write(writer)
    this.#steps.write(writer)
    for (const value of [
      this.#previous,
      this.#slow,
      this.#restless,
      this.#same,
      this.#usualLevel,
      this.#previousValue,
      this.#movement,
      this.#usualDeviation,
    ])
      writer.number(value)
    writer.flag(this.#movedBefore)
    writer.numbers(this.#averages)
    writer.numbers(this.#averageLessons)
  }

  read(reader: StateReader): void {
    this.#baseline.read(reader)
    this.#profile?.read(reader)
    this.#steps.read(reader)
    this.#previous = reader.number()
    this.#slow = reader.number()
    this.#restless = reader.number()
    this.#same = reader.number()
    this.#usualLevel = reader.number()
    this.#previousValue = reader.number()
    this.#movement = reader.number()
    this.#usualDeviation = reader.number()
    this.#movedBefore = reader.flag()
    reader.numbers(this.#averages)
    reader.numbers(this.#averageLessons)
  }

  #stepScale(): number {
    const s = this.#steps
    return Math.max(
      (s.quantile(0.75) - s.quantile(0.25)) / 1.349,
      (s.quantile(0.95) - s.quantile(0.05)) / 3.29 / 2,
    )
  }
}

function clip(value: number, limit: number): number {
  return value > limit ? limit : value < -limit ? -limit : value
}
