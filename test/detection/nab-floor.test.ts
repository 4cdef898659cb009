import { existsSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { NAB_PROFILES, nabScore } from '../../bench/nab/nab-score.ts'
import { readNab } from '../../bench/nab/read-nab.ts'
import { validateDetectorSettings } from '../../src/detection/algorithms.ts'
import { detectSeries } from '../../src/detection/series-monitor.ts'

const FOLDER = '../shared/data/nab'

describe.skipIf(!existsSync(FOLDER))(`NAB (skipped where ${FOLDER} is missing)`, () => {
  it('scores above the floor at the default budget, and is silent on the flat series', () => {
    const settings = validateDetectorSettings({})
    const files = readNab(FOLDER).map((series) => {
      const { findings } = detectSeries(settings, series.timesMs, series.values)
      const position = (ms: number): number => series.timesMs.findIndex((t) => t >= ms)
      return {
        name: series.name,
        points: series.timesMs.length,
        windows: series.windowsMs.map(
          ([first, last]) => [position(first), series.timesMs.findLastIndex((t) => t <= last)] as const,
        ),
        alarms: findings.map((finding) => ({
          index: position(finding.detectedMs),
          score: finding.detectedScore,
        })),
      }
    })
    expect(files).toHaveLength(29)
    expect(files.find((file) => file.name.includes('flatline'))?.alarms).toEqual([])
    expect(nabScore(files, 0, NAB_PROFILES.standard)).toBeGreaterThan(60)
  })
})
