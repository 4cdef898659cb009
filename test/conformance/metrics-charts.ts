import { randomUUID } from 'node:crypto'
import fc from 'fast-check'
import { expect } from 'vitest'
import type { ChartPoints } from '../../src/metrics/metric-query.ts'
import type { TimeRange } from '../../src/metrics/metrics-engine.ts'
import type { Check } from './metrics-engine.ts'
import { ALWAYS, DAY_MS, newSource } from './metrics-probe.ts'
import { WORKLOAD_NOW_MS } from './metrics-workload.ts'

/** Any range in few points, without losing an extreme. */
export function checkCharts(check: Check): void {
  check('draws any range in few points that keep every extreme', async (fixture) => {
    const { engine } = fixture
    const scope = { tenantId: randomUUID() }
    // Every twenty seconds for forty days: narrow ranges are drawn from raw points, wide ones from roll-ups.
    const stepMs = 20_000
    const count = (40 * DAY_MS) / stepMs
    const startMs = WORKLOAD_NOW_MS - 41 * DAY_MS + 1234.5
    const timesMs = Float64Array.from({ length: count }, (_, i) => startMs + i * stepMs)
    const values = Float64Array.from(
      { length: count },
      (_, i) => Math.sin(i / 900) + ((i * 7919) % 1009) / 5000,
    )
    for (let i = 0; i < 40; i++) values[(i * 4721 + 17) % count] = (i % 2 === 0 ? 1 : -1) * (10 + i)
    for (let i = 0; i < 40; i++) values[(i * 6007 + 5) % count] = [NaN, Infinity, -Infinity][i % 3]!
    const columns = { series: new Uint32Array(count), timesMs, values }
    await engine.append(scope, { source: newSource(), keys: [{ metric: 'm', tags: {} }], ...columns })
    const [series] = await engine.listSeries(scope, {})
    const verify = (runs: number) =>
      fc.assert(
        fc.asyncProperty(
          fc.integer({ min: -10, max: count }),
          fc.oneof(fc.integer({ min: 0, max: 2_000 }), fc.integer({ min: 0, max: count })),
          fc.oneof(fc.integer({ min: 4, max: 60 }), fc.integer({ min: 60, max: 3_000 })),
          async (first, length, maxPoints) => {
            const fromMs = startMs + first * stepMs
            const range = { fromMs, toMs: fromMs + length * stepMs }
            expectFaithful(
              await engine.chart(scope, series!.id, range, maxPoints),
              timesMs,
              values,
              range,
              maxPoints,
            )
          },
        ),
        { numRuns: runs, endOnFailure: true },
      )
    await verify(15)
    await engine.rollUp(new Date(WORKLOAD_NOW_MS))
    await verify(40)
    expectFaithful(await engine.chart(scope, series!.id, ALWAYS, 1000), timesMs, values, ALWAYS, 1000)

    const other = { tenantId: randomUUID() }
    expect((await engine.chart(other, series!.id, ALWAYS, 100)).timesMs).toHaveLength(0)
    for (const few of [3, 0, 10.5, Number.NaN])
      await expect(engine.chart(scope, series!.id, ALWAYS, few)).rejects.toMatchObject({
        problems: [{ field: 'maxPoints' }],
      })
  })
}

function expectFaithful(
  chart: ChartPoints,
  timesMs: Float64Array,
  values: Float64Array,
  range: TimeRange,
  maxPoints: number,
): void {
  const inside = [...timesMs.keys()].filter((i) => timesMs[i]! >= range.fromMs && timesMs[i]! < range.toMs)
  if (inside.length <= maxPoints) {
    expect(chart.isReduced).toBe(false)
    expect([...chart.timesMs]).toEqual(inside.map((i) => timesMs[i]))
    expect([...chart.values]).toEqual(inside.map((i) => values[i]))
    return
  }
  expect(chart.isReduced).toBe(true)
  expect(chart.timesMs.length).toBeLessThanOrEqual(maxPoints)
  const finite = inside.filter((i) => Number.isFinite(values[i]))
  const valueAt = new Map(finite.map((i) => [timesMs[i], values[i]!]))
  const drawn = [...chart.timesMs]
  expect(drawn.map((timeMs) => valueAt.get(timeMs))).toEqual([...chart.values])
  expect(drawn.filter((timeMs, i) => i > 0 && timeMs <= drawn[i - 1]!)).toEqual([])
  expect([chart.timesMs[0], chart.timesMs.at(-1)]).toEqual([timesMs[finite[0]!], timesMs[finite.at(-1)!]])
  // In each stretch that is twice as wide as those the chart has room for, or an hour, the extremes are those of all points in it.
  const spanMs = timesMs[finite.at(-1)!]! - timesMs[finite[0]!]!
  const stretchMs = Math.max(3_600_000, spanMs / Math.floor((maxPoints - 2) / 2))
  let [start, end] = [0, 0]
  let missed = 0
  for (const i of finite) {
    while (chart.timesMs[start]! < timesMs[i]! - 2 * stretchMs) start++
    while (end < chart.timesMs.length && chart.timesMs[end]! <= timesMs[i]! + 2 * stretchMs) end++
    const near = chart.values.subarray(start, end)
    if (!near.some((one) => one >= values[i]!) || !near.some((one) => one <= values[i]!)) missed++
  }
  expect(missed).toBe(0)
}
