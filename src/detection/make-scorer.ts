import type { AlarmJudge } from './alarm-judge.ts'
import { parameterOf } from './algorithms.ts'
import type { Choice } from './choose-algorithm.ts'
import type { DetectorSettings } from './detector-settings.ts'
import { DeviationScorer } from './deviation-scorer.ts'
import { EwmaBaseline } from './ewma-baseline.ts'
import type { History } from './history.ts'
import type { RecentPoints } from './recent-points.ts'
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

/**
 * Shows a new scorer the past, so that it need not start from nothing, and teaches the calibration from what is as fine as the points to come:
 * the whole past while its bins are, else the recent points.
 */
export function replayPast(
  scorer: DeviationScorer,
  judge: AlarmJudge,
  history: History,
  recent: RecentPoints,
  choice: Choice,
  stepMs: number,
): void {
  const bins = history.bins()
  const { originMs, widthMs } = history
  scorer.learnSeason(bins, originMs, widthMs)
  judge.restart()
  const repetitions = choice.season === undefined ? 0 : Math.max(2, history.spanMs / choice.season.periodMs)
  // The season was learned from these very points, which so lie closer to it than new ones will.
  const inflate = repetitions === 0 ? 1 : Math.sqrt((repetitions + 1) / (repetitions - 1))
  const fine = widthMs < 1.5 * stepMs
  const show = (timeMs: number, value: number, teach: boolean): void => {
    const wasReady = scorer.ready
    scorer.take(timeMs, value, 0, inflate)
    if (teach && wasReady) judge.learn(scorer.lessons)
  }
  for (let i = 0; i < bins.length; i++) {
    if (!Number.isNaN(bins[i]!)) show(originMs + (i + 0.5) * widthMs, bins[i]!, fine)
  }
  scorer.forgetPrevious()
  if (fine) return
  recent.replay((timeMs, value) => show(timeMs, value, true))
}
