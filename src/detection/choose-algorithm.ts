import type { ConcreteAlgorithm } from './detector-settings.ts'
import { formatDuration } from './format-quantity.ts'
import { autocorrelation, centredRanks, findSeason } from './seasonality.ts'
import type { Season } from './seasonality.ts'

/** What was picked for a series, in numbers, so that it can be stored. */
export interface Choice {
  readonly algorithm: ConcreteAlgorithm
  readonly season: Season | undefined
  /** Rank autocorrelation from one bin to the next. */
  readonly memory: number
}

/** Picks from what the past looks like: a season if there is one, a mean that follows if the level wanders, else a rolling median. */
export function chooseAlgorithm(bins: Float64Array, widthMs: number): Choice {
  const season = findSeason(bins, widthMs)
  const memory = autocorrelation(centredRanks(bins), 1)[1]!
  if (season !== undefined) return { algorithm: 'seasonal-residual', season, memory }
  return { algorithm: memory > 0.97 ? 'ewma' : 'robust-z', season, memory }
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
