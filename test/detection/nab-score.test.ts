import { describe, expect, it } from 'vitest'
import { alertQuality } from '../../bench/nab/alert-quality.ts'
import {
  bestThreshold,
  NAB_PROFILES,
  nabScore,
  nabSigmoid,
  probationPoints,
  rawNabScore,
} from '../../bench/nab/nab-score.ts'
import type { NabFile } from '../../bench/nab/nab-score.ts'

const { standard, rewardLowFalsePositives, rewardLowFalseNegatives } = NAB_PROFILES

/** 1000 points (the first 150 are not scored), one window of 101 points from 400 to 500. */
function file(...indexes: number[]): NabFile {
  return {
    name: 'golden',
    points: 1000,
    windows: [[400, 500]],
    alarms: indexes.map((index) => ({ index, score: 1 })),
  }
}

describe('NAB score against values worked out by hand from the formula', () => {
  it('has the sigmoid of the paper', () => {
    expect(nabSigmoid(0)).toBe(0)
    // 2 / (1 + e^-5) - 1 = 2 / 1.006737947 - 1
    expect(nabSigmoid(-1)).toBeCloseTo(0.986614298, 9)
    expect(nabSigmoid(1)).toBeCloseTo(-0.986614298, 9)
    expect(nabSigmoid(3)).toBeCloseTo(-0.999999388, 9)
    expect(nabSigmoid(3.0001)).toBe(-1)
  })

  it('leaves out 15 %, at most 750 points', () => {
    expect(probationPoints(1000)).toBe(150)
    expect(probationPoints(4032)).toBe(604)
    expect(probationPoints(5000)).toBe(750)
    expect(probationPoints(22_695)).toBe(750)
  })

  it('pays in full at the window’s first point and almost nothing at its last', () => {
    expect(rawNabScore(file(400), 0.5, standard)).toBeCloseTo(1, 12)
    // y = -(500 - 450 + 1) / 101 = -0.504950495; (2 / (1 + e^-2.524752475) - 1) / 0.986614298 = 0.851717 / 0.986614
    expect(rawNabScore(file(450), 0.5, standard)).toBeCloseTo(0.863273, 5)
    // y = -1/101; (2 / (1 + e^-0.0495049505) - 1) / 0.986614298 = 0.024747420 / 0.986614298
    expect(rawNabScore(file(500), 0.5, standard)).toBeCloseTo(0.025083175, 7)
  })

  it('counts a window once, at its earliest detection', () => {
    expect(rawNabScore(file(450, 460, 470, 499), 0.5, standard)).toBe(rawNabScore(file(450), 0.5, standard))
  })

  it('costs a miss, and a false alarm by its distance past the previous window', () => {
    expect(rawNabScore(file(), 0.5, standard)).toBe(-1)
    expect(rawNabScore(file(), 0.5, rewardLowFalseNegatives)).toBe(-2)
    // Before any window: in full.
    expect(rawNabScore(file(200), 0.5, standard)).toBeCloseTo(-1.11, 12)
    expect(rawNabScore(file(200), 0.5, rewardLowFalsePositives)).toBeCloseTo(-1.22, 12)
    // 10 points past the end over (101 - 1): x = 0.1; 2 / (1 + e^0.5) - 1 = -0.244918662; times 0.11
    expect(rawNabScore(file(510), 0.5, standard)).toBeCloseTo(-1 - 0.11 * 0.244918662, 9)
    // 400 points past: x = 4 > 3
    expect(rawNabScore(file(900), 0.5, standard)).toBeCloseTo(-1.11, 12)
  })

  it('does not see the probation, nor what is below the threshold', () => {
    expect(rawNabScore(file(149), 0.5, standard)).toBe(-1)
    expect(rawNabScore(file(150), 0.5, standard)).toBeCloseTo(-1.11, 12)
    expect(rawNabScore(file(200, 400), 1.5, standard)).toBe(-1)
  })

  it('is 0 for silence and 100 for every window at its start, in each profile', () => {
    for (const profile of Object.values(NAB_PROFILES)) {
      expect(nabScore([file(), file()], 0.5, profile)).toBeCloseTo(0, 12)
      expect(nabScore([file(400), file(400)], 0.5, profile)).toBeCloseTo(100, 12)
      expect(nabScore([file(400), file()], 0.5, profile)).toBeCloseTo(50, 12)
    }
    // One false alarm far from any window, nothing caught: 100 · -0.11 / 2
    expect(nabScore([file(200)], 0.5, standard)).toBeCloseTo(-5.5, 12)
    expect(nabScore([file(200)], 0.5, rewardLowFalseNegatives)).toBeCloseTo((100 * -0.11) / 3, 12)
  })

  it('finds the one threshold for all files', () => {
    const good: NabFile = {
      ...file(),
      alarms: [
        { index: 400, score: 0.9 },
        { index: 200, score: 0.3 },
      ],
    }
    const bad: NabFile = { ...file(), windows: [], alarms: [{ index: 700, score: 0.6 }] }
    expect(bestThreshold([good, bad], standard)).toEqual({ threshold: 0.9, score: 100 })
  })
})

describe('alert quality', () => {
  it('groups alarms within two hours and counts those that touch no window', () => {
    const hour = 3_600_000
    const quality = alertQuality([
      {
        fromMs: 0,
        toMs: 48 * hour,
        windowsMs: [
          [10 * hour, 12 * hour],
          [40 * hour, 41 * hour],
        ],
        alarmsMs: [-hour, 11 * hour, 20 * hour, 21.5 * hour, 24 * hour],
      },
    ])
    expect(quality).toMatchObject({
      windows: 2,
      windowsCaught: 1,
      incidents: 3,
      falseIncidents: 2,
      seriesDays: 2,
      eventRecall: 0.5,
      falseIncidentsPerSeriesDay: 1,
    })
    expect(quality.precision).toBeCloseTo(1 / 3, 12)
  })
})
