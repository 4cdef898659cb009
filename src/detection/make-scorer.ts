import { parameterOf } from './algorithms.ts'
import type { Choice } from './choose-algorithm.ts'
import type { DetectorSettings } from './detector-settings.ts'
import { DeviationScorer } from './deviation-scorer.ts'
import { EwmaBaseline } from './ewma-baseline.ts'
import { RobustBaseline } from './robust-baseline.ts'
import { SeasonalProfile } from './seasonal-profile.ts'

/** The scorer for a choice, knowing nothing yet. */
export function makeScorer(
  choice: Choice,
  settings: DetectorSettings,
  stepMs: number,
  roundingError = 1e-30,
): DeviationScorer {
  const profile =
    choice.season === undefined
      ? undefined
      : new SeasonalProfile(choice.season.periodMs, stepMs, parameterOf(settings, 'learningRate'))
  const baseline =
    choice.algorithm === 'ewma'
      ? new EwmaBaseline(parameterOf(settings, 'alpha'))
      : new RobustBaseline(parameterOf(settings, 'window'))
  return new DeviationScorer(baseline, profile, roundingError)
}
