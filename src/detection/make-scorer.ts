import type { AlarmJudge } from './alarm-judge.ts'
import { parameterOf } from './algorithms.ts'
import type { Choice } from './choose-algorithm.ts'
import type { DetectorSettings } from './detector-settings.ts'
import { DeviationScorer } from './deviation-scorer.ts'
import { EwmaBaseline } from './ewma-baseline.ts'
import type { History } from './history.ts'
import { RobustBaseline } from './robust-baseline.ts'
import { SeasonalProfile } from './seasonal-profile.ts'

/** The scorer for a choice, knowing nothing yet. */
export function makeScorer(choice: Choice, settings: DetectorSettings, stepMs: number): DeviationScorer {
  const profile =
    choice.season === undefined
      ? undefined
      : new SeasonalProfile(choice.season.periodMs, stepMs, parameterOf(settings, 'learningRate'))
  const baseline =
    choice.algorithm === 'ewma'
      ? new EwmaBaseline(parameterOf(settings, 'alpha'))
      : new RobustBaseline(parameterOf(settings, 'window'))
  return new DeviationScorer(baseline, profile)
}

/** Shows a new scorer the past, so that it need not start from nothing, and teaches the calibration where the past is fine enough for that. */
export function replayHistory(
  scorer: DeviationScorer,
  judge: AlarmJudge,
  history: History,
  choice: Choice,
  stepMs: number,
): void {
  const bins = history.bins()
  const { originMs, widthMs } = history
  scorer.learnSeason(bins, originMs, widthMs)
  const fine = widthMs < 1.5 * stepMs
  judge.restart()
  const repetitions =
    choice.season === undefined ? Infinity : Math.max(2, history.spanMs / choice.season.periodMs)
  // The season was learned from these very points, which so lie closer to it than new ones will.
  const inflate = Number.isFinite(repetitions) ? Math.sqrt((repetitions + 1) / (repetitions - 1)) : 1
  for (let i = 0; i < bins.length; i++) {
    if (Number.isNaN(bins[i]!)) continue
    const wasReady = scorer.ready
    scorer.take(originMs + (i + 0.5) * widthMs, bins[i]!, 0, inflate)
    if (fine && wasReady) judge.learn(scorer.lessons)
  }
  scorer.forgetPrevious()
}
