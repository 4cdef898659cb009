import fc from 'fast-check'
import { expect, it } from 'vitest'
import { pointSlices } from '../../src/cli/point-slices.ts'
import type { ParsedPoints } from '../../src/ingestion/parsed-points.ts'
import { readPoints } from '../ingestion/read-points.ts'

it('points survive being sent in slices, and each slice knows where it began', async () => {
  const point = fc.record({
    // Whole microseconds: also before 1973, where milliseconds look like seconds.
    micros: fc.integer({ min: 0, max: 4.1e15 }),
    key: fc.integer({ min: 0, max: 2 }),
    value: fc.oneof(fc.double({ min: -1e148, max: 1e148 }), fc.constant(-Infinity)),
  })
  const keys = [
    { metric: 'value', tags: {} },
    { metric: 'cpu "é"', tags: { host: 'a\n' } },
    { metric: '😀', tags: { a: '1', b: '2' } },
  ]
  const property = fc.asyncProperty(
    fc.array(point, { maxLength: 40 }),
    fc.integer({ min: 1, max: 2000 }),
    async (list, maxBytes) => {
      const points: ParsedPoints = {
        keys,
        series: Uint32Array.from(list, ({ key }) => key),
        timesMs: Float64Array.from(list, ({ micros }) => micros / 1000),
        values: Float64Array.from(list, ({ value }) => value),
        lines: Uint32Array.from(list, (_, at) => at + 1),
      }
      const slices = [...pointSlices(points, maxBytes)]
      expect(slices.reduce((sum, slice) => sum + slice.points, 0)).toBe(list.length)
      let at = 0
      for (const slice of slices) {
        expect(slice.from).toBe(at)
        if (slice.points > 1) expect(slice.body.length).toBeLessThanOrEqual(maxBytes)
        const read = await readPoints('ndjson', slice.body)
        expect(read.rejectedTotal).toBe(0)
        for (const back of read.points) {
          const { micros, key, value } = list[at]!
          expect(back).toMatchObject({
            ...keys[key],
            value: value + 0,
            time: new Date(micros / 1000).toISOString(),
          })
          at += 1
        }
      }
    },
  )
  await fc.assert(property, { seed: 11 })
})
