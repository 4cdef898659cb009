import type { AlarmJudge } from './alarm-judge.ts'
import { binsFor } from './choose-algorithm.ts'
import type { Choice, Past } from './choose-algorithm.ts'
import type { DeviationScorer } from './deviation-scorer.ts'
import type { RecentPoints } from './recent-points.ts'

/**
 * Shows a new scorer the past, so that it need not start from nothing, and teaches the calibration from what is as fine as the points to come:
 * the whole past while its bins are, else the recent points. `resolution`: the smallest difference between points that means anything.
 */
export function replayPast(
  scorer: DeviationScorer,
  judge: AlarmJudge,
  past: Past,
  recent: RecentPoints,
  choice: Choice,
  resolution: number,
): void {
  const periodMs = choice.season?.periodMs
  const bins = periodMs === undefined ? past.coarse : binsFor(past, periodMs)
  scorer.learnSeason(bins)
  judge.restart()
  const repetitions = periodMs === undefined ? 0 : Math.max(2, (bins.values.length * bins.widthMs) / periodMs)
  // The season was learned from these very points, which so lie closer to it than new ones will.
  const inflate = repetitions === 0 ? 1 : Math.sqrt((repetitions + 1) / (repetitions - 1))
  const show = (timeMs: number, value: number, teach: boolean): void => {
    const wasReady = scorer.ready
    scorer.take(timeMs, value, teach ? resolution : 0, inflate)
    if (teach && wasReady) judge.learn(scorer.lessons)
  }
  const { values, originMs, widthMs } = past.coarse
  const whole = widthMs < 1.5 * past.stepMs
  // Where the bins are wider than the season is long, they hold nothing of it.
  if (bins === past.coarse) {
    for (let i = 0; i < values.length; i++)
      if (!Number.isNaN(values[i]!)) show(originMs + (i + 0.5) * widthMs, values[i]!, whole)
  }
  scorer.forgetPrevious()
  if (!whole || bins !== past.coarse) recent.replay((timeMs, value) => show(timeMs, value, true))
}
