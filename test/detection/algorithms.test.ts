import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { ALGORITHMS, validateDetectorSettings } from '../../src/detection/algorithms.ts'
import { severityOf, scoreOfRarity } from '../../src/detection/finding.ts'
import { detectSeries } from '../../src/detection/series-monitor.ts'
import { NomalyError } from '../../src/errors.ts'
import { CLEAN } from './synthetic-series.ts'

function problemFields(input: unknown): string[] {
  try {
    validateDetectorSettings(input)
    return []
  } catch (error) {
    if (!(error instanceof NomalyError)) throw error
    return error.problems.map((problem) => problem.field)
  }
}

describe('detector settings', () => {
  it('default to auto and one false alarm a week', () => {
    expect(validateDetectorSettings({})).toEqual({
      algorithm: 'auto',
      parameters: {},
      budget: { alarms: 1, perSeconds: 604_800 },
    })
    expect(validateDetectorSettings(undefined).algorithm).toBe('auto')
  })

  it('name every field that is wrong', () => {
    expect(problemFields({ algorithm: 'magic' })).toEqual(['algorithm'])
    expect(problemFields({ algorithm: 'ewma', parameters: { alpha: 7, window: 100 } })).toEqual([
      'parameters.alpha',
      'parameters.window',
    ])
    expect(problemFields({ algorithm: 'robust-z', parameters: { window: 50.5 } })).toEqual([
      'parameters.window',
    ])
    expect(problemFields({ budget: { alarms: -1, perSeconds: '7', per: 1 } })).toEqual([
      'budget.alarms',
      'budget.perSeconds',
      'budget.per',
    ])
    expect(problemFields({ threshold: 3 })).toEqual(['threshold'])
    expect(problemFields([])).toEqual(['detector'])
    expect(problemFields({ budget: null })).toEqual([])
    expect(problemFields({ parameters: 'x' })).toEqual(['parameters'])
  })

  it('answer anything with settings or a NomalyError', () => {
    fc.assert(
      fc.property(fc.anything(), (input) => {
        problemFields(input)
      }),
    )
  })

  it('accept every parameter of the catalogue at its bounds, and run with it', () => {
    const series = CLEAN['daily season']!(1, 5)
    for (const algorithm of ALGORITHMS) {
      for (const parameter of algorithm.parameters) {
        for (const value of [parameter.minimum, parameter.default, parameter.maximum]) {
          const settings = validateDetectorSettings({
            algorithm: algorithm.name,
            parameters: { [parameter.name]: value },
          })
          expect(settings.parameters[parameter.name]).toBe(value)
          expect(detectSeries(settings, series.timesMs, series.values).findings.length).toBeLessThan(10)
        }
      }
    }
  })

  it('take a period that was asked for', () => {
    const { timesMs, values } = CLEAN['daily season']!(1, 7)
    const settings = validateDetectorSettings({
      algorithm: 'seasonal-residual',
      parameters: { periodSeconds: 86_400 },
    })
    expect(detectSeries(settings, timesMs, values).choice).toEqual({
      algorithm: 'seasonal-residual',
      reason: 'compared over a period of 24 h, as asked',
    })
  })
})

describe('the score of a finding', () => {
  it('grows with rarity and maps to the four severities', () => {
    const decades = [0, 0.5, 1, 2, 3, 5, 10, 30]
    const scores = decades.map(scoreOfRarity)
    expect(scores.toSorted((a, b) => a - b)).toEqual(scores)
    expect(new Set(scores).size).toBe(scores.length)
    expect(scores.at(-1)).toBeLessThanOrEqual(1)
    expect([0, 1, 3, 5].map((d) => severityOf(scoreOfRarity(d)))).toEqual([
      'low',
      'medium',
      'high',
      'critical',
    ])
  })
})
