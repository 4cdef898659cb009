export type Severity = 'low' | 'medium' | 'high' | 'critical'

/** Something unusual in one series: an event of one point or of many. Times are epoch milliseconds, values are in the unit of the series. */
export interface Finding {
  /** First and last flagged point; equal for one point. `startMs` never changes once the finding exists. */
  readonly startMs: number
  readonly endMs: number
  /** The point at which the alarm was raised: what a live user would have seen. */
  readonly detectedMs: number
  /** The most extreme point; the next four are taken there. */
  readonly peakMs: number
  readonly observed: number
  readonly expected: number
  readonly lower: number
  readonly upper: number
  /** 0..1, growing with rarity: at the peak, and at the alarm. */
  readonly score: number
  readonly detectedScore: number
  /** How probable a point at least this extreme is while all is well, at the peak. */
  readonly probability: number
  readonly severity: Severity
  readonly direction: 'above' | 'below' | 'pattern'
  /** For a reader who knows no statistics. */
  readonly explanation: string
  /** Later points may still extend it. */
  readonly open: boolean
}

/** What would have been normal at one point. */
export interface Band {
  readonly expected: number
  readonly lower: number
  readonly upper: number
}

/** The band while nothing is known yet. */
export const UNKNOWN_BAND: Band = { expected: Number.NaN, lower: Number.NaN, upper: Number.NaN }

/** What would have been normal at each accepted point; NaN while warming up. */
export interface BandColumns {
  readonly timesMs: Float64Array
  readonly expected: Float64Array
  readonly lower: Float64Array
  readonly upper: Float64Array
}

/** Maps rarity to 0..1: `decades` is how many powers of ten rarer than the budget allows (0 = just an alarm). */
export function scoreOfRarity(decades: number): number {
  return 1 - Math.exp(-(Math.max(0, decades) + 0.4) / 1.9)
}

/** The class of a score: above 0.9 critical, 0.7 high, 0.5 medium. */
export function severityOf(score: number): Severity {
  if (score > 0.9) return 'critical'
  if (score > 0.7) return 'high'
  return score > 0.5 ? 'medium' : 'low'
}
