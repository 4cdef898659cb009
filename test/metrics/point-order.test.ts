import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { decodeCopy } from '../../src/metrics/copy-decoder.ts'
import { POINT_LIMITS, type RetentionClass } from '../../src/metrics/metrics-engine.ts'
import { PartitionMap, UnknownPartitions } from '../../src/metrics/partition-map.ts'
import { orderPoints } from '../../src/metrics/point-order.ts'
import { validatePoints } from '../../src/metrics/point-validation.ts'

const KNOWN = [
  { id: 7, retention: 'week' },
  { id: 3, retention: 'forever' },
  // The same series under another spelling of its key.
  { id: 7, retention: 'week' },
  { id: 5, retention: 'forever' },
] as const

function partitions(): PartitionMap {
  const map = new PartitionMap()
  for (const lower of [2, 0, 1])
    map.add('forever', { lowerMicros: lower * 10_000, upperMicros: (lower + 1) * 10_000 })
  map.add('week', { lowerMicros: 0, upperMicros: 30_000 })
  return map
}

function soundPoints(points: readonly { key: number; ms: number; value: number }[]) {
  const batch = {
    source: { kind: 'dataset', id: '', retention: 'forever' } as const,
    keys: KNOWN.map((_, i) => ({ metric: `m${i}`, tags: {} })),
    series: Uint32Array.from(points, ({ key }) => key),
    timesMs: Float64Array.from(points, ({ ms }) => ms),
    values: Float64Array.from(points, ({ value }) => value),
  }
  return validatePoints(batch, () => 0)
}

const points = fc.array(
  fc.record({ key: fc.nat(3), ms: fc.nat(29), value: fc.constantFrom(1, 2, Number.NaN) }),
  { maxLength: 80 },
)

describe('order of points', () => {
  test.each(['first', 'last'] as const)(
    'is by class, partition, series and time, the %s of each instant',
    (winner) => {
      fc.assert(
        fc.property(points, (given) => {
          const ordered = orderPoints(soundPoints(given), KNOWN, partitions(), winner)
          const place = ({ key, ms }: { key: number; ms: number }) => {
            const { id, retention } = KNOWN[key]!
            const partition = retention === 'week' ? 100 : Math.floor(ms / 10)
            return partition * 1e6 + id * 1e3 + ms
          }
          const expected = [...Map.groupBy(given, place)]
            .sort(([a], [b]) => a - b)
            .map(([, same]) => (winner === 'first' ? same[0]! : same.at(-1)!))
          const rows = expected.map(({ key, ms, value }) => [KNOWN[key]!.id, ms * 1000, value])
          const indexes = [...ordered.ids.keys()]
          expect(indexes.map((i) => [ordered.ids[i], ordered.micros[i], ordered.values[i]])).toEqual(rows)
          expect(ordered.count + ordered.duplicates + ordered.conflicting).toBe(given.length)
          expect(ordered.runs.reduce((end, run) => (expect(run.start).toBe(end), run.end), 0)).toBe(
            ordered.count,
          )
          for (const run of ordered.runs)
            for (let i = run.start; i < run.end; i++) {
              expect(run.retention).toBe(ordered.ids[i] === 7 ? 'week' : 'forever')
              expect(ordered.micros[i]).toBeGreaterThanOrEqual(run.lowerMicros)
              expect(ordered.micros[i]).toBeLessThan(run.upperMicros)
            }
          const newest = Map.groupBy(indexes, (i) => ordered.ids[i]!)
          expect([...ordered.newest].map((index) => ordered.ids[index])).toEqual(
            [3, 5, 7].filter((id) => newest.has(id)),
          )
          for (const index of ordered.newest) {
            const times = newest.get(ordered.ids[index]!)!.map((i) => ordered.micros[i]!)
            expect(ordered.micros[index]).toBe(Math.max(...times))
          }
        }),
      )
    },
  )

  test('names the days of all partitions that are missing', () => {
    const day = 86_400_000
    const sound = soundPoints([0, 2 * day, 2 * day + 5, 9 * day].map((ms) => ({ key: 1, ms, value: 1 })))
    const missing = (work: () => unknown): ReadonlyMap<RetentionClass, ReadonlySet<number>> | undefined => {
      try {
        work()
      } catch (error) {
        if (error instanceof UnknownPartitions) return error.days
        throw error
      }
      return undefined
    }
    const expected = new Map([['forever', new Set([2 * day, 9 * day])]])
    expect(missing(() => orderPoints(sound, KNOWN, partitions(), 'first'))).toEqual(expected)
    expect(missing(() => partitions().require('forever', sound.micros))).toEqual(expected)
  })
})

describe('times', () => {
  test('keep their microseconds through milliseconds and back', () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: POINT_LIMITS.maxTimeMs * 1000 }), (micros) => {
        expect(Math.round((micros / 1000) * 1000)).toBe(micros)
      }),
      { numRuns: 5_000 },
    )
  })

  test('a COPY of another shape is refused', () => {
    const refusal = 'another shape'
    expect(() => decodeCopy(Buffer.alloc(21))).toThrow(refusal)
    expect(() => decodeCopy(Buffer.from('PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0\x01', 'latin1'))).toThrow(refusal)
  })
})
