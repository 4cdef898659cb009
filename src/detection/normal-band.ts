import type { AlarmJudge } from './alarm-judge.ts'
import type { DeviationScorer } from './deviation-scorer.ts'
import { CHANNELS } from './deviation-scorer.ts'
import type { Band } from './finding.ts'
import type { SeriesIntake } from './series-intake.ts'
import type { ValueRange } from './value-range.ts'

/** What the band is made from: what was learned of the series. */
export interface Learned {
  readonly intake: SeriesIntake
  readonly scorer: DeviationScorer
  readonly judge: AlarmJudge
  readonly range: ValueRange
}

/**
 * What would have been normal at the last point for a way of being unusual (an index of {@link CHANNELS}): above and below what is expected, unless it is
 * a jump or lasts. `analysed` is what was judged of the value, `rate` the alarms allowed per point.
 */
export function normalBand(
  { intake, scorer, judge, range }: Learned,
  value: number,
  analysed: number,
  rate: number,
  channel = 0,
): Band {
  const name = CHANNELS[channel]!
  const jump = name === 'jump-up' || name === 'jump-down'
  const lasting = name === 'long-above' || name === 'long-below'
  const up = jump ? 2 : lasting ? 4 : 0
  const scale = jump ? scorer.stepScale : scorer.scale
  const center = jump ? scorer.expectedNext : scorer.expected
  const lowest = Math.max(range.floor, center - Math.max(0, judge.limit(up + 1, rate)) * scale)
  const highest = Math.min(range.ceiling, center + Math.max(0, judge.limit(up, rate)) * scale)
  // A counter is judged by its growth, and shown where it would have grown to.
  const shift = intake.counter ? value - analysed : 0
  // A band below zero would puzzle the reader of a series that has no such values, as would a counter that falls.
  const floor = intake.counter ? shift : intake.neverNegative ? 0 : Number.NEGATIVE_INFINITY
  const shown = (scaled: number): number => Math.max(floor, intake.unscaled(scaled) + shift)
  const expected = Math.max(Math.min(center, highest), lowest)
  return {
    expected: shown(expected),
    lower: shown(lowest),
    upper: shown(Math.max(lowest, highest)),
  }
}
