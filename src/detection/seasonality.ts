const MINUTE = 60_000
/** Rhythms people live by; these need fewer repetitions to be believed. */
const CALENDAR_MS = [60 * MINUTE, 1440 * MINUTE, 10_080 * MINUTE]

/** A repetition found in the data, with the autocorrelation at its period. */
export interface Season {
  readonly periodMs: number
  readonly strength: number
}

/**
 * Finds the period after which the bins look most like themselves: a peak of the autocorrelation of ranks (so that spikes do not count more than
 * others) that stands clear of the trough before it. Calendar periods need three repetitions, others eight and more strength.
 */
export function findSeason(bins: Float64Array, widthMs: number): Season | undefined {
  // Ranks see the course of a whole day, clipped values a short burst that comes every night.
  const byRank = seasonIn(centredRanks(bins), widthMs)
  const byValue = seasonIn(clippedValues(bins), widthMs)
  if (byRank === undefined || byValue === undefined) return byRank ?? byValue
  return byValue.strength > byRank.strength + 0.1 ? byValue : byRank
}

/** How much the bins still look like themselves one period earlier: the larger autocorrelation of ranks and of clipped values. */
export function seasonStrength(bins: Float64Array, widthMs: number, periodMs: number): number {
  const lag = Math.round(periodMs / widthMs)
  const at = (values: Float64Array): number => autocorrelation(values, lag)[lag]!
  return Math.max(at(centredRanks(bins)), at(clippedValues(bins)))
}

function seasonIn(bins: Float64Array, widthMs: number): Season | undefined {
  const longest = Math.floor(bins.length / 3)
  if (longest < 4) return undefined
  const acf = autocorrelation(bins, longest + 1)
  const candidates: Season[] = []
  // Chance alone reaches 4 / sqrt(n) about once in 15,000 lags.
  const chance = 4 / Math.sqrt(bins.length)
  let trough = acf[1]!
  for (let lag = 2; lag <= longest; lag++) {
    const here = acf[lag]!
    trough = Math.min(trough, here)
    if (
      lag < 4 ||
      here < Math.max(0.3, chance) ||
      here < acf[lag - 1]! ||
      here < acf[lag + 1]! ||
      here - trough < 0.2
    )
      continue
    const calendar = CALENDAR_MS.find((ms) => Math.abs(ms / widthMs - lag) <= Math.max(1, 0.03 * lag))
    if (calendar === undefined && (lag * 8 > bins.length || here < 0.5)) continue
    candidates.push({ periodMs: calendar ?? lag * widthMs, strength: here })
  }
  // Multiples of a period repeat just as well: a longer one must leave clearly less unexplained (weekends, for one).
  return candidates.reduce<Season | undefined>(
    (best, c) => (best === undefined || 1 - c.strength < 0.5 * (1 - best.strength) ? c : best),
    undefined,
  )
}

/** Values in units of their usual spread around their median, cut off at 8 so that one wild value does not hide the rest. */
function clippedValues(values: Float64Array): Float64Array {
  const ascending = values.filter((v) => !Number.isNaN(v)).toSorted()
  const quantile = (q: number): number => ascending[Math.floor(q * (ascending.length - 1))] ?? 0
  const spread = Math.max((quantile(0.75) - quantile(0.25)) / 1.349, (quantile(0.995) - quantile(0.005)) / 20)
  if (!(spread > 0)) return new Float64Array(values.length)
  const clipped = values.map((v) => Math.max(-8, Math.min(8, (v - quantile(0.5)) / spread)))
  const known = clipped.filter((v) => !Number.isNaN(v))
  const mean = known.reduce((sum, v) => sum + v, 0) / known.length
  return clipped.map((v) => v - mean)
}

/** Autocorrelation of centred values by lag, up to `lags`; 0 where there is too little to compare, NaN values are left out. */
export function autocorrelation(ranks: Float64Array, lags: number): Float64Array {
  const acf = new Float64Array(lags + 1)
  let variance = 0
  let known = 0
  for (const r of ranks) {
    if (Number.isNaN(r)) continue
    variance += r * r
    known++
  }
  if (variance === 0) return acf
  for (let lag = 1; lag <= lags && lag < ranks.length; lag++) {
    let sum = 0
    let pairs = 0
    for (let i = lag; i < ranks.length; i++) {
      const product = ranks[i]! * ranks[i - lag]!
      if (Number.isNaN(product)) continue
      sum += product
      pairs++
    }
    acf[lag] = pairs < 8 ? 0 : sum / pairs / (variance / known)
  }
  return acf
}

/** Ranks shifted to a mean of 0; ties share their middle rank, NaN stays NaN. */
export function centredRanks(values: Float64Array): Float64Array {
  const order = Array.from(values.keys()).filter((i) => !Number.isNaN(values[i]!))
  order.sort((a, b) => values[a]! - values[b]!)
  const ranks = new Float64Array(values.length).fill(Number.NaN)
  const middle = (order.length - 1) / 2
  for (let i = 0; i < order.length;) {
    let j = i
    const value = values[order[i]!]
    while (j + 1 < order.length && values[order[j + 1]!] === value) j++
    for (let k = i; k <= j; k++) ranks[order[k]!] = (i + j) / 2 - middle
    i = j + 1
  }
  return ranks
}
