import { randomUUID } from 'node:crypto'
import fc from 'fast-check'
import {
  POINT_LIMITS,
  type PointBatch,
  type RetentionClass,
  type SeriesKey,
} from '../../src/metrics/metrics-engine.ts'

/** The moment at which generated workloads take place, in epoch milliseconds. */
export const WORKLOAD_NOW_MS = Date.UTC(2026, 6, 10, 12)

/** Few series, two of them the same one written differently, so that points meet. */
export const KEYS: readonly SeriesKey[] = [
  { metric: 'cpu', tags: {} },
  { metric: 'cpu', tags: { host: 'a', zone: 'ü "1"' } },
  { metric: 'cpu', tags: { zone: 'ü "1"', host: 'a' } },
  { metric: 'memory', tags: { host: '' } },
]

export interface Operation {
  readonly kind: 'append' | 'correct'
  readonly tenant: 0 | 1
  readonly source: 0 | 1 | 2
  readonly points: readonly { readonly key: number; readonly timeMs: number; readonly value: number }[]
}

const time = fc.oneof(
  { weight: 12, arbitrary: fc.integer({ min: 0, max: 40 }).map((step) => WORKLOAD_NOW_MS - step * 500) },
  {
    weight: 3,
    arbitrary: fc.integer({ min: 0, max: 3000 }).map((micros) => WORKLOAD_NOW_MS + micros / 1000),
  },
  {
    weight: 2,
    arbitrary: fc.integer({ min: -9 * 24, max: 50 * 24 }).map((h) => WORKLOAD_NOW_MS + h * 3_600_000),
  },
  { weight: 2, arbitrary: fc.integer({ min: POINT_LIMITS.minTimeMs, max: POINT_LIMITS.maxTimeMs }) },
  {
    weight: 1,
    arbitrary: fc.constantFrom(
      0,
      0.001,
      POINT_LIMITS.maxTimeMs,
      POINT_LIMITS.maxTimeMs + 1,
      -1,
      Number.NaN,
      Infinity,
    ),
  },
)

export const value = fc.oneof(
  { weight: 6, arbitrary: fc.integer({ min: -3, max: 3 }) },
  { weight: 3, arbitrary: fc.double({ min: -1e6, max: 1e6, noNaN: true }) },
  { weight: 2, arbitrary: fc.constantFrom(Number.NaN, Infinity, -Infinity, -0) },
  { weight: 1, arbitrary: fc.constantFrom(1e148, -1e148, 1.1e148, 1e200, 1e-170, -1e-300, 5e-324) },
)

export const operations: fc.Arbitrary<Operation[]> = fc.array(
  fc.record({
    kind: fc.constantFrom('append', 'append', 'append', 'correct'),
    tenant: fc.constantFrom(0, 1),
    source: fc.constantFrom(0, 0, 1, 2),
    points: fc.array(fc.record({ key: fc.nat(KEYS.length - 1), timeMs: time, value }), { maxLength: 60 }),
  }),
  { minLength: 1, maxLength: 8 },
)

export interface Place {
  readonly tenants: readonly { readonly tenantId: string }[]
  readonly sources: readonly {
    readonly kind: 'dataset'
    readonly id: string
    readonly retention: RetentionClass
  }[]
}

/** Tenants and sources that nobody has used; the tenants share the ids of their sources. */
export function newPlace(retentions: readonly RetentionClass[] = ['forever', 'forever', 'week']): Place {
  return {
    tenants: [{ tenantId: randomUUID() }, { tenantId: randomUUID() }],
    sources: retentions.map((retention) => ({
      kind: 'dataset',
      id: randomUUID(),
      retention,
    })),
  }
}

export function toBatch(
  { sources }: Place,
  { source, points }: { readonly source: number; readonly points: Operation['points'] },
): PointBatch {
  return {
    source: sources[source]!,
    keys: KEYS,
    series: Uint32Array.from(points, ({ key }) => key),
    timesMs: Float64Array.from(points, ({ timeMs }) => timeMs),
    values: Float64Array.from(points, (point) => point.value),
  }
}
