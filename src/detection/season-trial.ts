import type { DeviationScorer } from './deviation-scorer.ts'
import type { Bins } from './seasonality.ts'

/** Share of the errors that is cut off, so that one wild value does not decide. */
const CUT = 0.01

/**
 * How far a scorer's expectation lies from what came next, on average over the last third of the bins. It learns the season from the first two thirds, or
 * from what is `known` elsewhere. Errors are cut off at their 99 % quantile.
 */
export function trialError(scorer: DeviationScorer, bins: Bins, known = bins): number {
  const { values, originMs, widthMs } = bins
  const from = Math.floor((values.length * 2) / 3)
  scorer.learnSeason(known === bins ? { ...bins, values: values.subarray(0, from) } : known)
  const errors: number[] = []
  for (let i = 0; i < values.length; i++) {
    const value = values[i]!
    if (Number.isNaN(value)) continue
    scorer.take(originMs + (i + 0.5) * widthMs, value, 0)
    if (i >= from && !Number.isNaN(scorer.expected)) errors.push(Math.abs(value - scorer.expected))
  }
  errors.sort((a, b) => a - b)
  const most = errors[Math.floor((errors.length - 1) * (1 - CUT))] ?? 0
  return errors.reduce((sum, error) => sum + Math.min(error, most), 0) / Math.max(1, errors.length)
}
