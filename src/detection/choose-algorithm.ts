import { parameterOf } from './algorithms.ts'
import type { ConcreteAlgorithm, DetectorSettings } from './detector-settings.ts'
import { formatDuration } from './format-quantity.ts'
import { makeScorer } from './make-scorer.ts'
import { trialError } from './season-trial.ts'
import { autocorrelation, centredRanks, explainsMore, findSeason, seasonStrength } from './seasonality.ts'
import type { Bins, Season } from './seasonality.ts'

/** What was picked for a series, in numbers, so that it can be stored. */
export interface Choice {
  readonly algorithm: ConcreteAlgorithm
  readonly season: Season | undefined
  /** Rank autocorrelation from one bin to the next. */
  readonly memory: number
}

/** What is remembered: the whole past in bins, and where those are wider than a step the last points one by one. */
export interface Past {
  readonly coarse: Bins
  readonly fine: Bins
  readonly stepMs: number
}

/** A season must leave at most this share of the error that is left without it. */
const WORTHWHILE = 0.9

/** The bins in which a period shows: the recent points where they hold it often enough, else the whole past. */
export function binsFor(past: Past, periodMs: number): Bins {
  const { coarse, fine } = past
  if (fine.widthMs >= coarse.widthMs) return coarse
  return periodMs < 4 * coarse.widthMs || 2.6 * periodMs <= fine.values.length * fine.widthMs ? fine : coarse
}

/** Picks from what the past looks like: a season that predicts better than none, else a mean that follows if the level wanders, else a rolling median. */
function chooseAlgorithm(settings: DetectorSettings, past: Past): Choice {
  const { coarse, fine, stepMs } = past
  const memory = autocorrelation(centredRanks(coarse.values), 1)[1]!
  const plain: Choice = {
    algorithm: memory > 0.97 ? 'ewma' : 'robust-z',
    season: undefined,
    memory,
  }
  const long = findSeason(coarse, stepMs)
  const short = fine.widthMs < coarse.widthMs ? findSeason(fine, stepMs) : undefined
  const seasonal = [long, short]
    .filter((season) => season !== undefined)
    .map((season): Choice => ({ algorithm: 'seasonal-residual', season, memory }))
    .filter((choice) => predictsBetter(settings, past, choice, plain))
  const [first, second] = seasonal
  if (first === undefined || second === undefined) return first ?? plain
  const errorOf = (choice: Choice, known: Bins): number =>
    trialError(makeScorer(choice, settings, stepMs), fine, known)
  return errorOf(second, fine) <= 1.1 * errorOf(first, coarse) ? second : first
}

function predictsBetter(settings: DetectorSettings, past: Past, seasonal: Choice, plain: Choice): boolean {
  const bins = binsFor(past, seasonal.season!.periodMs)
  return (
    trialOf(settings, bins, seasonal, past.stepMs) < WORTHWHILE * trialOf(settings, bins, plain, past.stepMs)
  )
}

function trialOf(settings: DetectorSettings, bins: Bins, choice: Choice, stepMs: number): number {
  return trialError(makeScorer(choice, settings, Math.max(stepMs, bins.widthMs)), bins)
}

/** What the settings ask for and the past suggests: a given algorithm or period goes before what the data look like. */
export function nextChoice(settings: DetectorSettings, past: Past): Choice {
  const seen = chooseAlgorithm(settings, past)
  const { algorithm } = settings
  if (algorithm === 'robust-z' || algorithm === 'ewma') return { ...seen, algorithm, season: undefined }
  const periodMs = parameterOf(settings, 'periodSeconds') * 1000
  if (periodMs > 0) {
    const enough = past.coarse.values.length * past.coarse.widthMs >= 2 * periodMs
    return {
      ...seen,
      algorithm: 'seasonal-residual',
      season: enough ? { periodMs, strength: 0 } : undefined,
    }
  }
  return algorithm === 'auto' ? seen : { ...seen, algorithm }
}

/** The choice in one plain sentence. */
export function explainChoice(choice: Choice, asked: boolean): string {
  const { algorithm, season, memory } = choice
  if (season !== undefined) {
    const every = formatDuration(season.periodMs)
    return season.strength > 0
      ? `repeats every ${every} (autocorrelation ${season.strength.toFixed(2)})`
      : `compared over a period of ${every}, as asked`
  }
  if (asked && algorithm === 'seasonal-residual')
    return 'no repetition found so far: compared with the recent median until there is one'
  if (asked)
    return algorithm === 'ewma'
      ? 'asked for: compared with a moving average'
      : 'asked for: compared with the recent median'
  if (algorithm === 'ewma')
    return `no repetition found and the level wanders (autocorrelation ${memory.toFixed(2)} from point to point)`
  return 'no repetition found: compared with the recent median'
}

/**
 * Whether to start again with what more data suggests. A season stays while it still shows: it gives way to one that is clearly stronger or explains
 * more, to a more exact idea of its length, and to none when it is gone.
 */
export function worthChanging(next: Choice, now: Choice, past: Past): boolean {
  if (now.season === undefined)
    return next.season !== undefined || (now.algorithm === 'robust-z' && next.algorithm === 'ewma')
  // Strength 0 marks a period that was asked for.
  if (now.season.strength === 0) return false
  const strength = seasonStrength(binsFor(past, now.season.periodMs), now.season.periodMs)
  if (next.season === undefined) return strength < 0.15
  const ratio = next.season.periodMs / now.season.periodMs
  if (Math.abs(ratio - 1) < 0.1) {
    const { values, widthMs } = binsFor(past, now.season.periodMs)
    const repetitions = (values.length * widthMs) / now.season.periodMs
    return Math.abs(ratio - 1) * repetitions > 0.02 + past.stepMs / now.season.periodMs
  }
  // Wide bins blur a short period more than its multiples.
  if (ratio > 1.5 && ratio < 16.5 && binsFor(past, now.season.periodMs) !== past.coarse) return false
  if (ratio > 2) return explainsMore(next.season.strength, strength)
  return next.season.strength > strength + 0.2
}
