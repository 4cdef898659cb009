import { describe, expect, it } from 'vitest'
import { validateDetectorSettings } from '../../src/detection/algorithms.ts'
import { detectSeries } from '../../src/detection/series-monitor.ts'
import { EVERYDAY } from './everyday-series.ts'
import type { EverydaySeries } from './everyday-series.ts'
import { normal } from './synthetic-series.ts'
import { uniform } from '../support/random.ts'

const START_MS = Date.UTC(2025, 2, 3)
const SEEDS = [11, 22]
const AUTO = validateDetectorSettings({})

/** What can be missed, and why. Nothing else may be. */
const EXCEPTIONS: Readonly<Record<string, string>> = {
  'two levels: a level shift': 'the lower level comes to lie where the upper one was',
}

/** Puts an anomaly into the values that nobody would overlook in a chart; answers how many points it has, or undefined where it would be none. */
type Incident = (values: Float64Array, at: number, series: EverydaySeries, seed: number) => number | undefined

const INCIDENTS: Readonly<Record<string, Incident>> = {
  'a spike of 10 ranges': (values, at) => {
    const { high, range } = seen(values, 0, at)
    values[at] = high + 10 * range
    return 1
  },
  'a spike of 3 ranges': (values, at, series) => {
    if (series.heavy) return undefined
    const { high, range } = seen(values, series.wandering ? at - 500 : 0, at)
    values[at] = high + 3 * range
    return 1
  },
  'a dip of 3 ranges': (values, at, series) => {
    const { low, range } = seen(values, series.wandering ? at - 500 : 0, at)
    values[at] = low - 3 * range
    return 1
  },
  'a drop to zero': (values, at, series) => {
    const { low, range } = seen(values, 0, at)
    if (low < 0.3 * range || series.heavy) return undefined
    values.fill(0, at, at + 20)
    return 20
  },
  'a level shift': (values, at, series) => {
    if (series.heavy) return undefined
    const { range } = seen(values, series.wandering ? at - 500 : 0, at)
    for (let i = at; i < values.length; i++) values[i]! += 1.2 * range
    return 60
  },
  'a standstill': (values, at, series) => {
    const length = Math.max(250, 2.5 * (series.period ?? 1))
    if (!series.moving || at + length > values.length) return undefined
    values.fill(values[at]!, at, at + length)
    return length
  },
  'a repetition that stays away': (values, at, series, seed) => {
    if (series.period === undefined) return undefined
    const n = normal(seed)
    const length = Math.max(60, 3 * series.period)
    const { range } = seen(values, 0, at)
    const middle = values.slice(0, at).toSorted()[at >> 1]!
    for (let i = at; i < at + length; i++) values[i] = middle + 0.02 * range * n()
    return length
  },
  'a burst of noise': (values, at, series, seed) => {
    if (series.heavy) return undefined
    const u = uniform(seed)
    const { range } = seen(values, series.wandering ? at - 500 : 0, at)
    for (let i = at; i < at + 20; i++) values[i]! += (u() - 0.5) * 4 * range
    return 20
  },
}

function seen(values: Float64Array, from: number, to: number): { low: number; high: number; range: number } {
  const part = values.slice(from, to)
  const low = part.reduce((a, b) => Math.min(a, b))
  const high = part.reduce((a, b) => Math.max(a, b))
  return { low, high, range: high - low || Math.abs(high) || 1 }
}

function make(series: EverydaySeries, seed: number): { timesMs: Float64Array; values: Float64Array } {
  const value = series.value(seed)
  const timesMs = Float64Array.from({ length: series.points }, (_, i) => START_MS + i * series.stepMs)
  return { timesMs, values: timesMs.map((_, i) => value(i)) }
}

describe('gross anomalies in everyday series', () => {
  let tried = 0
  let found = 0

  it.each(Object.keys(EVERYDAY))('%s', (name) => {
    const series = EVERYDAY[name]!
    const missed: string[] = []
    for (const seed of SEEDS) {
      for (const [what, incident] of Object.entries(INCIDENTS)) {
        const { timesMs, values } = make(series, seed)
        const at = Math.floor(values.length * (0.7 + seed / 1000))
        const length = incident(values, at, series, seed)
        if (length === undefined) continue
        const to = timesMs[Math.min(values.length - 1, at + length + 2)]!
        const { findings } = detectSeries(AUTO, timesMs, values)
        tried++
        if (findings.some((f) => f.startMs <= to && f.endMs >= timesMs[at]!)) found++
        else missed.push(`${name}: ${what}`)
      }
    }
    expect(missed.filter((combination) => !(combination in EXCEPTIONS))).toEqual([])
  })

  it('are found in at least 95 % of the combinations', () => {
    expect(tried).toBeGreaterThan(200)
    expect(found / tried).toBeGreaterThanOrEqual(0.95)
  })
})

describe('the band', () => {
  it.each(Object.keys(EVERYDAY))('of %s is plausible', (name) => {
    const series = EVERYDAY[name]!
    const { timesMs, values } = make(series, 33)
    const { low, range } = seen(values, 0, values.length)
    const { band } = detectSeries(AUTO, timesMs, values, { band: true })
    for (let i = 0; i < values.length; i++) {
      const [lower, expected, upper] = [band!.lower[i]!, band!.expected[i]!, band!.upper[i]!]
      if (Number.isNaN(expected)) continue
      expect(lower).toBeLessThanOrEqual(expected)
      expect(expected).toBeLessThanOrEqual(upper)
      if (low >= 0) expect(lower).toBeGreaterThanOrEqual(0)
      // Later than this, enough was seen to know how far the values go.
      if (i > values.length / 2) expect((upper - lower) / range).toBeLessThan(8)
    }
  })

  it('leaves out what is found above or below it', () => {
    for (const series of Object.values(EVERYDAY)) {
      const { timesMs, values } = make(series, 44)
      const at = Math.floor(values.length * 0.8)
      INCIDENTS['a level shift']!(values, at, series, 44)
      for (const f of detectSeries(AUTO, timesMs, values).findings) {
        if (f.direction === 'above') expect(f.observed).toBeGreaterThan(f.upper)
        if (f.direction === 'below') expect(f.observed).toBeLessThan(f.lower)
      }
    }
  })
})
