import { CHANNELS, SLOW_CLIP } from './deviation-scorer.ts'
import type { StateReader, StateWriter } from './state-codec.ts'
import { TailCalibration } from './tail-calibration.ts'

/** Share of the false-alarm budget by channel; sums to 1. */
const SHARES = [0.25, 0.2, 0.075, 0.075, 0.15, 0.15, 0.06, 0.04]
/** Least believable spread of excesses by channel, in units of its score. */
const SMALLEST_SCALES = [0.3, 0.3, 0.3, 0.3, 0.1, 0.1, 0.1, 6]
/** What a score cannot pass: averages of clipped deviations. */
const CEILINGS = [Infinity, Infinity, Infinity, Infinity, SLOW_CLIP, SLOW_CLIP, SLOW_CLIP, Infinity]

/** The most alarming channel of a point: `decades` ≥ 0 is an alarm, and says how many powers of ten rarer than the budget allows. */
export interface Verdict {
  readonly channel: number
  readonly decades: number
  readonly probability: number
}

/** Holds the calibration of every channel, and so turns scores into alarms at the rate the user asked for. */
export class AlarmJudge {
  #tails = newTails()

  get ready(): boolean {
    return this.#tails[0]!.ready
  }

  /** Forgets everything: the scores will be of another kind from now on. */
  restart(): void {
    this.#tails = newTails()
  }

  /** `alarmRate`: false alarms allowed per point. */
  judge(scores: Float64Array, alarmRate: number): Verdict | undefined {
    if (!this.ready) return undefined
    let best: Verdict | undefined
    for (let channel = 0; channel < CHANNELS.length; channel++) {
      const probability = this.#tails[channel]!.probability(scores[channel]!)
      if (probability >= alarmRate * SHARES[channel]!) continue
      const decades = Math.min(300, Math.log10((alarmRate * SHARES[channel]!) / probability))
      if (best === undefined || decades > best.decades) best = { channel, decades, probability }
    }
    return best
  }

  learn(scores: Float64Array): void {
    for (let channel = 0; channel < CHANNELS.length; channel++) this.#tails[channel]!.add(scores[channel]!)
  }

  /**
   * Learns from a point of an event. What raised the alarm counts for less than it measures, so that one disaster does not hide the next; but the more
   * alarms there were lately against the budget (`overspent`, 0 = within it, 1 = twice it or more), the more it counts in full.
   */
  learnEvent(scores: Float64Array, alarmRate: number, overspent: number): void {
    for (let channel = 0; channel < CHANNELS.length; channel++) {
      const limit = Math.max(this.limit(channel, alarmRate), 1e-9)
      const score = scores[channel]!
      const excess = score / limit
      this.#tails[channel]!.add(
        score > limit
          ? limit * (1 + Math.log(excess)) * Math.pow(excess / (1 + Math.log(excess)), overspent)
          : score,
      )
    }
  }

  /** The score at which this channel alarms. */
  limit(channel: number, alarmRate: number): number {
    return this.#tails[channel]!.scoreAt(alarmRate * SHARES[channel]!)
  }

  write(writer: StateWriter): void {
    for (const tail of this.#tails) tail.write(writer)
  }

  read(reader: StateReader): void {
    for (const tail of this.#tails) tail.read(reader)
  }
}

function newTails(): TailCalibration[] {
  return SMALLEST_SCALES.map((scale, i) => new TailCalibration(scale, CEILINGS[i]))
}
