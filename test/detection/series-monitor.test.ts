import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { validateDetectorSettings } from '../../src/detection/algorithms.ts'
import { detectSeries, SeriesMonitor } from '../../src/detection/series-monitor.ts'
import type { Finding, MonitorSnapshot } from '../../src/detection/series-monitor.ts'
import { NomalyError } from '../../src/errors.ts'
import { CLEAN, DAY_MS, generate, HOUR_MS, MINUTE_MS, normal } from './synthetic-series.ts'
import type { SyntheticSeries } from './synthetic-series.ts'

const AUTO = validateDetectorSettings({})
const ALGORITHMS = ['auto', 'robust-z', 'ewma', 'seasonal-residual'] as const

/** The last word on each finding, by its start. */
function merged(findings: Finding[]): Finding[] {
  return [...new Map(findings.map((f) => [f.startMs, f])).values()]
}

function withIncidents(seed: number): SyntheticSeries {
  const series = CLEAN['daily season']!(seed, 6)
  for (const at of [700, 1100, 1101, 1102, 1500]) series.values[at]! += 150
  return series
}

describe('a series monitor', () => {
  it('finds the same however the points are spread over calls, and across snapshots', () => {
    fc.assert(
      fc.property(
        fc.constantFrom(...ALGORITHMS),
        fc.array(fc.integer({ min: 0, max: 400 }), { minLength: 4, maxLength: 12 }),
        fc.integer({ min: 1, max: 50 }),
        (algorithm, cuts, seed) => {
          const settings = validateDetectorSettings({ algorithm })
          const { timesMs, values } = withIncidents(seed)
          const whole = detectSeries(settings, timesMs, values)
          let monitor = new SeriesMonitor(settings)
          const pieces: Finding[] = []
          let at = 0
          for (const cut of [...cuts, timesMs.length]) {
            pieces.push(...monitor.observe(timesMs.subarray(at, at + cut), values.subarray(at, at + cut)))
            at = Math.min(timesMs.length, at + cut)
            monitor = SeriesMonitor.restore(
              settings,
              JSON.parse(JSON.stringify(monitor.snapshot())) as MonitorSnapshot,
            )
          }
          expect(whole.findings.length).toBeGreaterThan(0)
          expect(merged(pieces)).toEqual(whole.findings)
          expect(monitor.choice).toEqual(whole.choice)
        },
      ),
      { numRuns: 25 },
    )
  })

  it('never throws, whatever numbers it is given, and stays restorable', () => {
    const wild = fc.oneof(
      fc.double(),
      fc.constantFrom(Number.NaN, Infinity, -Infinity, 1e300, -1e300, 1e-300, 0, -0),
      fc.integer({ min: -3, max: 3 }),
    )
    const time = fc.oneof(fc.integer({ min: 0, max: 1e7 }), fc.double())
    fc.assert(
      fc.property(
        fc.constantFrom(...ALGORITHMS),
        fc.array(fc.tuple(time, wild), { maxLength: 400 }),
        fc.boolean(),
        (algorithm, points, sorted) => {
          const settings = validateDetectorSettings({ algorithm })
          const times = Float64Array.from(points, ([t]) => t)
          const monitor = new SeriesMonitor(settings)
          monitor.observe(
            sorted ? times.toSorted() : times,
            Float64Array.from(points, ([, v]) => v),
          )
          const snapshot = JSON.parse(JSON.stringify(monitor.snapshot())) as MonitorSnapshot
          expect(SeriesMonitor.restore(settings, snapshot).snapshot()).toEqual(snapshot)
        },
      ),
      { numRuns: 300 },
    )
  })

  it('gives findings whose numbers are finite and consistent', () => {
    for (const algorithm of ALGORITHMS) {
      const { timesMs, values } = withIncidents(3)
      for (const f of detectSeries(validateDetectorSettings({ algorithm }), timesMs, values).findings) {
        for (const n of [f.observed, f.expected, f.lower, f.upper, f.score, f.detectedScore, f.probability])
          expect(n).toBeTypeOf('number')
        for (const n of [f.observed, f.expected, f.lower, f.upper]) expect(Number.isFinite(n)).toBe(true)
        expect(f.lower).toBeLessThanOrEqual(f.expected)
        expect(f.upper).toBeGreaterThanOrEqual(f.expected)
        expect(f.score).toBeGreaterThanOrEqual(f.detectedScore)
        expect(f.startMs).toBeLessThanOrEqual(f.peakMs)
        expect(f.peakMs).toBeLessThanOrEqual(f.endMs)
        expect(f.detectedMs).toBe(f.startMs)
        expect(f.explanation).not.toMatch(/NaN|undefined|Infinity/)
      }
    }
  })

  it('is silent on constants and on three points', () => {
    for (const value of [0, 45, 1e-12, 1e149, -7]) {
      expect(detectSeries(AUTO, ...columns(generate(14, 5 * MINUTE_MS, () => value))).findings).toEqual([])
    }
    expect(detectSeries(AUTO, Float64Array.of(1, 2, 3), Float64Array.of(1, 1000, -5)).findings).toEqual([])
  })

  it('finds the change of a constant once, and then is silent on the new one', () => {
    for (const [before, after] of [
      [45, 46],
      [0, 1],
      [1e-12, 2e-12],
      [1e149, 2e149],
      [7, 0],
    ] as const) {
      const { findings } = detectSeries(
        AUTO,
        ...columns(generate(14, 5 * MINUTE_MS, (_, i) => (i < 2000 ? before : after))),
      )
      expect(findings).toHaveLength(1)
      expect(findings[0]!.open).toBe(false)
      expect(findings[0]!.direction).toBe(after > before ? 'above' : 'below')
    }
  })

  it('finds a level shift once and then takes the new level as normal', () => {
    for (const algorithm of ALGORITHMS) {
      const n = normal(11)
      const series = generate(14, 5 * MINUTE_MS, (_, i) => (i < 2000 ? 100 : 160) + 3 * n())
      const { findings } = detectSeries(validateDetectorSettings({ algorithm }), ...columns(series))
      const after = findings.filter((f) => f.detectedMs >= series.timesMs[2000]!)
      expect(after[0]?.detectedMs).toBe(series.timesMs[2000])
      expect(after.length, algorithm).toBeLessThanOrEqual(3)
    }
  })

  it('ignores and counts what is late, double or not a number', () => {
    const series = withIncidents(5)
    const clean = detectSeries(AUTO, series.timesMs, series.values).findings
    const monitor = new SeriesMonitor(AUTO)
    const found: Finding[] = []
    series.timesMs.forEach((time, i) => {
      found.push(
        ...monitor.observe(
          Float64Array.of(time, time, time - HOUR_MS, time + 1),
          Float64Array.of(series.values[i]!, 1e9, -1e9, Number.NaN),
        ),
      )
    })
    expect(merged(found)).toEqual(clean)
    expect(monitor.ignored).toBe(3 * series.timesMs.length)
  })

  it('judges a counter by its growth: a reset is nothing, a stall or a burst is', () => {
    const n = normal(21)
    let total = 0
    const series = generate(14, 5 * MINUTE_MS, (_, i) => {
      if (i % 900 === 899) total = 0
      return (total += Math.max(0, 100 + 10 * n() + (i === 3000 ? 900 : 0)))
    })
    const { findings } = detectSeries(AUTO, ...columns(series))
    expect(findings.some((f) => f.peakMs === series.timesMs[3000])).toBe(true)
    for (let i = 899; i < series.timesMs.length; i += 900) {
      expect(findings.some((f) => f.startMs <= series.timesMs[i + 1]! && f.endMs >= series.timesMs[i]!)).toBe(
        false,
      )
    }
  })

  it('says what it picked and why', () => {
    expect(detectSeries(AUTO, ...columns(CLEAN['daily season']!(1, 7))).choice).toMatchObject({
      algorithm: 'seasonal-residual',
      reason: expect.stringMatching(/^repeats every 24 h \(autocorrelation 0\.\d\d\)$/),
    })
    expect(detectSeries(AUTO, ...columns(CLEAN['noise']!(1, 7))).choice).toEqual({
      algorithm: 'robust-z',
      reason: 'no repetition found: compared with the recent median',
    })
    expect(detectSeries(AUTO, ...columns(CLEAN['random walk']!(1, 7))).choice?.algorithm).toBe('ewma')
    expect(new SeriesMonitor(AUTO).choice).toBeUndefined()
  })

  it('gives a band around healthy points', () => {
    const series = CLEAN['daily season']!(1, 10)
    const { band } = detectSeries(AUTO, series.timesMs, series.values, { band: true })
    let inside = 0
    for (let i = 1440; i < series.values.length; i++)
      if (series.values[i]! >= band!.lower[i]! && series.values[i]! <= band!.upper[i]!) inside++
    expect(inside / (series.values.length - 1440)).toBeGreaterThan(0.99)
    expect(band!.expected[0]).toBeNaN()
  })

  it('keeps its state small', () => {
    const sizes = Object.keys(CLEAN).map((name) => {
      const series = CLEAN[name]!(1, 60)
      const monitor = new SeriesMonitor(AUTO)
      monitor.observe(series.timesMs, series.values)
      return JSON.stringify(monitor.snapshot()).length
    })
    sizes.sort((a, b) => a - b)
    expect(sizes[sizes.length >> 1]).toBeLessThanOrEqual(16_384)
    const largest = new SeriesMonitor(validateDetectorSettings({ parameters: { window: 1000 } }))
    largest.observe(...columns(CLEAN['daily season']!(1, 60)))
    sizes.push(JSON.stringify(largest.snapshot()).length)
    expect(Math.max(...sizes)).toBeLessThanOrEqual(24_576)
  })

  it('does not take for a counter for ever what only rose at first', () => {
    const n = normal(41)
    let level = 0
    const series = generate(
      14,
      5 * MINUTE_MS,
      (_, i) => 1000 + (i < 300 ? 10 * i : 3000 + (level = 0.8 * level + 20 * n())),
    )
    const { findings } = detectSeries(AUTO, ...columns(series))
    expect(findings.filter((f) => f.detectedMs > series.timesMs[1000]!).length).toBeLessThanOrEqual(4)
    expect(findings.some((f) => f.explanation.includes('count'))).toBe(false)
    series.values[3500] = 9000
    expect(
      detectSeries(AUTO, ...columns(series)).findings.some((f) => f.peakMs === series.timesMs[3500]),
    ).toBe(true)
  })

  it('refuses a snapshot of an unknown version or a damaged one', () => {
    const snapshot = new SeriesMonitor(AUTO).snapshot()
    expect(() => SeriesMonitor.restore(AUTO, { ...snapshot, version: 99 })).toThrow(NomalyError)
    expect(() => SeriesMonitor.restore(AUTO, { ...snapshot, numbers: 'AAAA' })).toThrow(NomalyError)
  })

  it('lives through gaps and irregular steps', () => {
    const n = normal(31)
    const series = CLEAN['daily season']!(8, 14)
    const kept = [...series.timesMs.keys()].filter((i) => (i < 2000 || i > 2400) && i % 7 !== 3)
    const times = Float64Array.from(kept, (i) => series.timesMs[i]! + Math.round(20_000 * n()))
    const values = Float64Array.from(kept, (i) => series.values[i]!)
    expect(detectSeries(AUTO, times, values).findings.length).toBeLessThanOrEqual(4)
    expect(times.at(-1)! - times[0]!).toBeGreaterThan(13 * DAY_MS)
  })
})

function columns(series: SyntheticSeries): [Float64Array, Float64Array] {
  return [series.timesMs, series.values]
}
