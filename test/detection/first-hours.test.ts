import { describe, expect, it } from 'vitest'
import { validateDetectorSettings } from '../../src/detection/algorithms.ts'
import { detectSeries } from '../../src/detection/series-monitor.ts'
import type { Finding } from '../../src/detection/series-monitor.ts'
import { normal } from './synthetic-series.ts'
import { uniform } from '../support/random.ts'

const START_MS = Date.UTC(2025, 2, 3)
const STEP_MS = 5000
const SEEDS = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]

/** A machine that watches itself every 5 s: what it measures, and what happens to that in an incident of five minutes. */
const MEASURED: Readonly<
  Record<string, { healthy(seed: number): () => number; incident(value: number, i: number): number }>
> = {
  'processor use': {
    healthy: (seed) => {
      const n = normal(seed)
      const u = uniform(seed + 3)
      let left = 0
      let height = 0
      return () => {
        if (left === 0 && u() < 0.015) {
          left = 1 + Math.floor(u() * 5)
          height = 0.1 + 0.3 * u()
        }
        if (left > 0) {
          left--
          return height * (0.8 + 0.4 * u())
        }
        return 0.02 + 0.006 * Math.abs(n())
      }
    },
    incident: (_, i) => 0.96 + 0.01 * (i % 3),
  },
  heap: {
    healthy: (seed) => {
      const u = uniform(seed)
      let heap = 60e6
      return () => {
        heap += 1e6 * (0.5 + u())
        if (heap > 120e6 + 20e6 * u()) heap = 55e6 + 5e6 * u()
        return heap
      }
    },
    incident: () => 900e6,
  },
  'size of a table': {
    healthy: (seed) => {
      const u = uniform(seed)
      let bytes = 819_200
      return () => (bytes += u() < 0.05 ? 8192 * (1 + Math.floor(u() * 3)) : 0)
    },
    incident: (value) => value + 4e6,
  },
  latency: {
    healthy: (seed) => {
      const n = normal(seed)
      const u = uniform(seed + 5)
      return () => 4 * Math.exp(0.3 * n()) + (u() < 0.005 ? 20 + 60 * u() : 0)
    },
    incident: (value) => value + 800,
  },
  connections: {
    healthy: (seed) => {
      const u = uniform(seed)
      let open = 8
      return () => {
        if (u() < 0.1) open = Math.max(3, Math.min(15, open + (u() < 0.5 ? -1 : 1)))
        return open
      }
    },
    incident: () => 95,
  },
  'commits in total': {
    healthy: (seed) => {
      const n = normal(seed)
      let total = 1000
      return () => (total += Math.max(0, Math.round(20 + 5 * n())))
    },
    incident: (value, i) => value + 2000 * (i + 1),
  },
}

function watch(name: string, seed: number, points: number, incidentAt = points): Finding[] {
  const next = MEASURED[name]!.healthy(seed)
  const values = Float64Array.from({ length: points }, (_, i) => {
    const value = next()
    return i < incidentAt ? value : MEASURED[name]!.incident(value, i - incidentAt)
  })
  const timesMs = values.map((_, i) => START_MS + i * STEP_MS)
  return detectSeries(validateDetectorSettings({}), timesMs, values).findings
}

describe('the first hours of a stream', () => {
  it.each(Object.keys(MEASURED))('%s: few false alarms in four hours', (name) => {
    const alarms = SEEDS.reduce((sum, seed) => sum + watch(name, seed, 2880).length, 0)
    expect(alarms / SEEDS.length).toBeLessThanOrEqual(0.7)
  })

  it('none in the first six minutes', () => {
    for (const name of Object.keys(MEASURED))
      for (const seed of SEEDS) expect(watch(name, seed, 75)).toEqual([])
  })

  it.each(Object.keys(MEASURED))('%s: an incident after half an hour is found', (name) => {
    const caught = SEEDS.filter((seed) =>
      watch(name, seed, 420, 360).some((finding) => finding.endMs >= START_MS + 360 * STEP_MS),
    )
    expect(caught.length).toBeGreaterThanOrEqual(9)
  })

  it('most incidents after ten minutes are found', () => {
    const names = Object.keys(MEASURED)
    const caught = names.flatMap((name) =>
      SEEDS.filter((seed) =>
        watch(name, seed, 180, 120).some((finding) => finding.endMs >= START_MS + 120 * STEP_MS),
      ),
    )
    expect(caught.length / (names.length * SEEDS.length)).toBeGreaterThanOrEqual(0.8)
  })
})
