import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { formatBudget } from '../../src/cli/format-cells.ts'
import { parseBudget } from '../../src/cli/parse-budget.ts'

describe('parseBudget', () => {
  it.each([
    ['1 per week', 1, 604_800],
    ['3 per day', 3, 86_400],
    ['0.5 per hour', 0.5, 3600],
    ['2/minute', 2, 60],
    ['10 PER MONTHS', 10, 2_592_000],
    ['1 a year', 1, 31_536_000],
    ['1 per 2 weeks', 1, 1_209_600],
  ])('reads %s', (text, alarms, perSeconds) => {
    expect(parseBudget(text)).toEqual({ alarms, perSeconds })
  })

  it.each([
    '',
    'week',
    '1',
    '0 per week',
    '-1 per week',
    '1 per fortnight',
    '1 per 0 days',
    'one per week',
    'NaN per day',
  ])('refuses %j', (text) => {
    expect(() => parseBudget(text)).toThrow(/is not a budget/)
  })

  it('reads back what is printed', () => {
    const units = fc.constantFrom(60, 3600, 86_400, 604_800, 2_592_000, 31_536_000)
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 999 }),
        units,
        fc.integer({ min: 1, max: 9 }),
        (alarms, unit, spans) => {
          const budget = { alarms, perSeconds: unit * spans }
          expect(parseBudget(formatBudget(budget))).toEqual(budget)
        },
      ),
      { seed: 7 },
    )
  })
})
