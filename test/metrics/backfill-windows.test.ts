import fc from 'fast-check'
import { expect, test } from 'vitest'
import { planWindows, type PointCount, WINDOW_DAYS } from '../../src/metrics/backfill-windows.ts'

const HOUR = 3_600_000_000
const DAY = 24 * HOUR

/** Hours with points, of some days near each other and some far away. */
const hours = fc
  .uniqueArray(fc.oneof(fc.integer({ min: 490_000, max: 491_500 }), fc.integer({ min: 0, max: 1_139_500 })), {
    minLength: 0,
    maxLength: 300,
  })
  .chain((places) =>
    fc.tuple(
      ...places
        .toSorted((a, b) => a - b)
        .map((hour) => fc.integer({ min: 1, max: 60 }).map((points) => ({ micros: hour * HOUR, points }))),
    ),
  )

test('windows hold every point once, ascending, within their limits, and cut no hour and no small day', () => {
  fc.assert(
    fc.property(hours, fc.integer({ min: 1, max: 500 }), (given, maxPoints) => {
      const byDay = Map.groupBy(given, ({ micros }) => micros - (micros % DAY))
      const days = [...byDay].map(([micros, all]): PointCount => ({ micros, points: total(all) }))
      const windows = planWindows(days, (day) => byDay.get(day) ?? [], maxPoints)
      expect(total(windows)).toBe(total(given))
      for (const [i, window] of windows.entries()) {
        const inside = given.filter(
          ({ micros }) => micros >= window.lowerMicros && micros < window.upperMicros,
        )
        expect(window.points).toBe(total(inside))
        expect(window.days).toEqual([...new Set(inside.map(({ micros }) => micros - (micros % DAY)))])
        expect(window.upperMicros - window.lowerMicros).toBeLessThanOrEqual(WINDOW_DAYS * DAY)
        if (i > 0) expect(window.lowerMicros).toBeGreaterThanOrEqual(windows[i - 1]!.upperMicros)
        // Only an hour that has too many by itself may be more than the limit.
        if (window.points > maxPoints) expect(inside).toHaveLength(1)
        // A part of a day only where the day is too large.
        for (const day of window.days)
          if (total(byDay.get(day)!) <= maxPoints) {
            expect(window.lowerMicros).toBeLessThanOrEqual(day)
            expect(window.upperMicros).toBeGreaterThanOrEqual(day + DAY)
          }
      }
    }),
  )
})

function total(counts: readonly { readonly points: number }[]): number {
  return counts.reduce((sum, { points }) => sum + points, 0)
}
