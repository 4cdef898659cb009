import { parameterOf } from './algorithms.ts'
import type { ConcreteAlgorithm, DetectorSettings } from './detector-settings.ts'
import { formatDuration } from './format-quantity.ts'
import { autocorrelation, centredRanks, findSeason, seasonStrength } from './seasonality.ts'
import type { Season } from './seasonality.ts'

/** What was picked for a series, in numbers, so that it can be stored. */
export interface Choice {
  readonly algorithm: ConcreteAlgorithm
  readonly season: Season | undefined
  /** Rank autocorrelation from one bin to the next. */
  readonly memory: number
}

/** Picks from what the past looks like: a season if there is one, a mean that follows if the level wanders, else a rolling median. */
function chooseAlgorithm(bins: Float64Array, widthMs: number): Choice {
  const season = findSeason(bins, widthMs)
  const memory = autocorrelation(centredRanks(bins), 1)[1]!
  if (season !== undefined) return { algorithm: 'seasonal-residual', season, memory }
  return { algorithm: memory > 0.97 ? 'ewma' : 'robust-z', season, memory }
}

/** What the settings ask for and the past suggests: a given algorithm or period goes before what the data look like. */
export function nextChoice(settings: DetectorSettings, bins: Float64Array, widthMs: number): Choice {
  const seen = chooseAlgorithm(bins, widthMs)
  const { algorithm } = settings
  if (algorithm === 'robust-z' || algorithm === 'ewma') return { ...seen, algorithm, season: undefined }
  const periodMs = parameterOf(settings, 'periodSeconds') * 1000
  if (periodMs > 0) {
    const enough = bins.length * widthMs >= 2 * periodMs
    return { ...seen, algorithm: 'seasonal-residual', season: enough ? { periodMs, strength: 0 } : undefined }
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
 * Whether to start again with what more data suggests. A season stays while it still shows: it gives way to one that is clearly stronger, to a longer
 * one that is no weaker, and to none when it is gone.
 */
export function worthChanging(next: Choice, now: Choice, bins: Float64Array, widthMs: number): boolean {
  if (now.season === undefined)
    return next.season !== undefined || (now.algorithm === 'robust-z' && next.algorithm === 'ewma')
  // Strength 0 marks a period that was asked for.
  if (now.season.strength === 0 || now.season.periodMs < 4 * widthMs) return false
  const strength = seasonStrength(bins, widthMs, now.season.periodMs)
  if (next.season === undefined) return strength < 0.15
  if (next.season.periodMs > 2 * now.season.periodMs && next.season.strength > strength) return true
  return (
    Math.abs(next.season.periodMs / now.season.periodMs - 1) > 0.1 && next.season.strength > strength + 0.2
  )
}
