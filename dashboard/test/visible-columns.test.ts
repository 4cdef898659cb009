import fc from 'fast-check'
import { expect, test } from 'vitest'
import type { BandColumns, PointColumns } from '../src/api/points.ts'
import { visibleColumns } from '../src/charts/visible-columns.ts'

function pointsOf(values: readonly number[]): PointColumns {
  return {
    timesMs: Float64Array.from(values, (_, index) => index * 1000),
    values: Float64Array.from(values),
    truncated: false,
  }
}

const value = fc.oneof(
  { weight: 20, arbitrary: fc.double({ min: -1e6, max: 1e6, noNaN: true }) },
  { weight: 1, arbitrary: fc.constantFrom(Number.NaN, Infinity, -Infinity) },
)

test('thinning keeps every extreme, the order, and little more than four points a pixel', () => {
  fc.assert(
    fc.property(
      fc.array(value, { minLength: 500, maxLength: 2000, size: 'max' }),
      fc.integer({ min: 50, max: 120 }),
      (values, width) => {
        const points = pointsOf(values)
        const { data } = visibleColumns(points, undefined, { fromMs: 0, toMs: values.length * 1000 }, width)
        const [times, shown] = data
        expect(times.length).toBeLessThanOrEqual(width * 4 + 8)
        expect(times.every((time, index) => index === 0 || time > (times[index - 1] ?? 0))).toBe(true)
        const finite = values.filter(Number.isFinite)
        const kept = shown.filter((each) => each !== null)
        expect(Math.max(...kept)).toBe(Math.max(...finite))
        expect(Math.min(...kept)).toBe(Math.min(...finite))
      },
    ),
  )
})

test('the band stands at the time of its point, and nowhere beyond its end', () => {
  const points = pointsOf(Array.from({ length: 10 }, (_, index) => index))
  const times = points.timesMs.slice(0, 6)
  const band: BandColumns = {
    timesMs: times,
    expected: Float64Array.from(times, (_, index) => index),
    lower: Float64Array.from(times, (_, index) => (index < 2 ? Number.NaN : index - 1)),
    upper: Float64Array.from(times, (_, index) => index + 1),
    detector: null,
  }
  const { data } = visibleColumns(points, band, { fromMs: 0, toMs: 10_000 }, 500)
  expect(data[2]).toEqual([0, 1, 2, 3, 4, 5, null, null, null, null])
  expect(data[3]).toEqual([null, null, 1, 2, 3, 4, null, null, null, null])
})
