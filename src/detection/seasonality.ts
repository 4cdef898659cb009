const MINUTE = 60_000
/** Rhythms people live by; these need fewer repetitions to be believed. */
const CALENDAR_MS = [60 * MINUTE, 1440 * MINUTE, 10_080 * MINUTE]

/** A stretch of the past in equal time bins: the mean of each, oldest first, NaN where nothing was seen. */
export interface Bins {
  readonly values: Float64Array
  readonly originMs: number
  readonly widthMs: number
}

/** A repetition found in the data, with the autocorrelation at its period. */
export interface Season {
  readonly periodMs: number
  readonly strength: number
}

/**
 * Finds the period after which the bins look most like themselves: a peak of the autocorrelation of ranks (so that spikes do not count more than
 * others) that stands clear of the trough before it. Calendar periods need three repetitions, others eight and more strength. `stepMs`: the usual time
 * between points, to whole multiples of which a period is rounded when it is that near.
 */
export function findSeason({ values, widthMs }: Bins, stepMs: number): Season | undefined {
  // Ranks see the course of a whole day, clipped values a short burst that comes every night.
  const byRank = seasonIn(centredRanks(values), widthMs, stepMs)
  const byValue = seasonIn(clippedValues(values), widthMs, stepMs)
  if (byRank === undefined || byValue === undefined) return byRank ?? byValue
  return byValue.strength > byRank.strength + 0.1 ? byValue : byRank
}

/** How much the bins still look like themselves one period earlier: the larger autocorrelation of ranks and of clipped values. */
export function seasonStrength({ values, widthMs }: Bins, periodMs: number): number {
  const lag = Math.round(periodMs / widthMs)
  return Math.max(correlationAt(centredRanks(values), lag), correlationAt(clippedValues(values), lag))
}

/** Whether a repetition explains so much more than another that it is worth the longer wait: half of what the other leaves open, and not by a hair. */
export function explainsMore(longer: number, shorter: number): boolean {
  return 1 - longer < 0.5 * (1 - shorter) && longer > shorter + 0.02
}

function seasonIn(bins: Float64Array, widthMs: number, stepMs: number): Season | undefined {
  const longest = Math.floor(bins.length / 3)
  if (longest < 2) return undefined
  const acf = autocorrelation(bins, longest + 1)
  const candidates: { lag: number; calendarMs: number | undefined; strength: number }[] = []
  // Chance alone reaches 4 / sqrt(n) about once in 15,000 lags.
  const chance = 4 / Math.sqrt(bins.length)
  let trough = acf[1]!
  for (let lag = 2; lag <= longest; lag++) {
    const here = acf[lag]!
    trough = Math.min(trough, here)
    if (here < Math.max(0.3, chance) || here < acf[lag - 1]! || here < acf[lag + 1]! || here - trough < 0.2)
      continue
    const calendarMs = CALENDAR_MS.find((ms) => Math.abs(ms / widthMs - lag) <= Math.max(1, 0.03 * lag))
    if (calendarMs === undefined && (lag * 8 > bins.length || here < 0.5)) continue
    // So few bins to a period say little, unless it is all but exact.
    if (lag < 4 && here < 0.8) continue
    candidates.push({
      lag,
      calendarMs: lag < 4 ? undefined : calendarMs,
      strength: Math.min(1, here),
    })
  }
  // Multiples of a period repeat just as well: a longer one must leave clearly less unexplained (weekends, for one).
  let best = candidates[0]
  for (const c of candidates) if (explainsMore(c.strength, best!.strength)) best = c
  if (best === undefined) return undefined
  return {
    periodMs: best.calendarMs ?? refinePeriod(bins, best.lag, widthMs, stepMs),
    strength: best.strength,
  }
}

/** A period found in whole bins, told more exactly from where its multiples peak: the error of the 16th is a sixteenth. */
function refinePeriod(bins: Float64Array, lag: number, widthMs: number, stepMs: number): number {
  let period = lag
  let multiple = 1
  while (period * multiple * 2 <= 0.8 * bins.length) {
    multiple *= 2
    const near = Math.round(period * multiple)
    const [before, here, after] = [near - 1, near, near + 1].map((l) => correlationAt(bins, l)) as [
      number,
      number,
      number,
    ]
    const peak = before > here && before >= after ? near - 1 : after > here ? near + 1 : near
    const bend = before - 2 * here + after
    const vertex =
      peak === near && bend < -1e-6
        ? near + Math.max(-0.5, Math.min(0.5, (before - after) / (2 * bend)))
        : peak
    period = vertex / multiple
  }
  const steps = (period * widthMs) / stepMs
  const whole = Math.round(steps)
  const error = Math.max(0.02, (0.5 * widthMs) / stepMs / multiple)
  return whole >= 2 && Math.abs(steps - whole) <= error ? whole * stepMs : period * widthMs
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
  for (let lag = 1; lag <= lags && lag < ranks.length; lag++)
    acf[lag] = meanProduct(ranks, lag) / (variance / known)
  return acf
}

function correlationAt(values: Float64Array, lag: number): number {
  const variance = meanProduct(values, 0)
  return variance === 0 ? 0 : meanProduct(values, lag) / variance
}

/** Mean product of values so far apart; 0 where fewer than 8 pairs are known. */
function meanProduct(values: Float64Array, lag: number): number {
  let sum = 0
  let pairs = 0
  for (let i = lag; i < values.length; i++) {
    const product = values[i]! * values[i - lag]!
    if (Number.isNaN(product)) continue
    sum += product
    pairs++
  }
  return pairs < 8 ? 0 : sum / pairs
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
