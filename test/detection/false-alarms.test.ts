import { describe, expect, it } from 'vitest'
import { validateDetectorSettings } from '../../src/detection/algorithms.ts'
import { detectSeries } from '../../src/detection/series-monitor.ts'
import type { Finding } from '../../src/detection/series-monitor.ts'
import { CLEAN, DAY_MS } from './synthetic-series.ts'
import type { SyntheticSeries } from './synthetic-series.ts'

const WEEKS = 6
const SEEDS = [101, 202, 303, 404, 505, 606, 707, 808]

describe('false alarms on healthy series, asked for one a week', () => {
  const rates: number[] = []

  it.each(Object.keys(CLEAN))('%s', (name) => {
    let alarms = 0
    for (const seed of SEEDS) {
      const { timesMs, values } = CLEAN[name]!(seed, 7 * WEEKS)
      alarms += detectSeries(validateDetectorSettings({}), timesMs, values).findings.length
    }
    const perWeek = alarms / (SEEDS.length * WEEKS)
    rates.push(perWeek)
    expect(perWeek).toBeLessThanOrEqual(2)
  })

  it('stays within the budget on average over all kinds', () => {
    expect(rates).toHaveLength(Object.keys(CLEAN).length)
    expect(rates.reduce((sum, rate) => sum + rate, 0) / rates.length).toBeLessThanOrEqual(1)
  })

  it('follows the budget: a larger one is spent, a smaller one is kept', () => {
    const alarms = (perWeek: number): number =>
      SEEDS.reduce((sum, seed) => {
        const { timesMs, values } = CLEAN['red noise']!(seed, 7 * WEEKS)
        const settings = validateDetectorSettings({ budget: { alarms: perWeek, perSeconds: 604_800 } })
        return sum + detectSeries(settings, timesMs, values).findings.length
      }, 0) /
      (SEEDS.length * WEEKS)
    expect(alarms(0.1)).toBeLessThanOrEqual(0.3)
    const many = alarms(10)
    expect(many).toBeGreaterThan(2)
    expect(many).toBeLessThanOrEqual(20)
  })
})

describe('plain anomalies are found', () => {
  const kinds = [
    'noise',
    'daily season',
    'noise that grows with the day',
    'red noise',
    'random walk',
    'trend',
    'rounded',
    'nightly burst',
  ]
  const incidents: Record<string, (values: Float64Array, at: number, size: number) => number> = {
    'a spike': (values, at, size) => {
      values[at]! += size
      return at
    },
    'a dip': (values, at, size) => {
      values[at]! -= size
      return at
    },
    'a level shift': (values, at, size) => {
      for (let i = at; i < values.length; i++) values[i]! += size
      return at + 36
    },
    'an hour of wild swings': (values, at, size) => {
      for (let i = at; i < at + 12; i++) values[i]! += i % 2 === 0 ? size / 2 : -size / 2
      return at + 24
    },
    'half a day of standstill': (values, at) => {
      values.fill(values[at]!, at, at + 144)
      return at + 144
    },
  }

  it.each(Object.keys(incidents))('%s', (what) => {
    let found = 0
    let tried = 0
    for (const kind of kinds) {
      for (const seed of SEEDS.slice(0, 4)) {
        const series = CLEAN[kind]!(seed, 21)
        const at = Math.floor(series.values.length * (0.7 + seed / 5000))
        const last = incidents[what]!(series.values, at, 10 * usualMove(series.values))
        const { findings } = detectSeries(validateDetectorSettings({}), series.timesMs, series.values)
        tried++
        if (findings.some((finding) => covers(finding, series, at, last))) found++
      }
    }
    expect(found / tried).toBeGreaterThanOrEqual(0.9)
  })

  it('a day that does not come, where every day is alike', () => {
    const series = CLEAN['daily season']!(9, 21)
    for (let i = 0; i < series.values.length; i++) {
      if (Math.floor(i / 288) === 16)
        series.values[i] = series.values[i]! - 60 * Math.sin((Math.PI * (i % 288)) / 288)
    }
    const { findings } = detectSeries(validateDetectorSettings({}), series.timesMs, series.values)
    const there = findings.filter((finding) => covers(finding, series, 16 * 288, 17 * 288))
    expect(there.length).toBeGreaterThan(0)
    expect(there[0]!.direction).toBe('below')
    expect(there[0]!.detectedMs - series.timesMs[16 * 288]!).toBeLessThan(DAY_MS / 3)
    expect(there[0]!.explanation).toContain('daily rhythm')
  })
})

function covers(finding: Finding, series: SyntheticSeries, from: number, to: number): boolean {
  return finding.detectedMs >= series.timesMs[from]! && finding.detectedMs <= series.timesMs[to]!
}

/** The size of a step between neighbours that 70 % of steps stay under. */
function usualMove(values: Float64Array): number {
  const steps = values
    .slice(1)
    .map((value, i) => Math.abs(value - values[i]!))
    .toSorted()
  return steps[Math.floor(steps.length * 0.7)]!
}
