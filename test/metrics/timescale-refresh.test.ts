import { randomUUID } from 'node:crypto'
import { describe, expect, test } from 'vitest'
import { answered, DAY_MS, newSource } from '../conformance/metrics-probe.ts'
import { WORKLOAD_NOW_MS } from '../conformance/metrics-workload.ts'
import { compressAll, isTimescaleOffered, makeTimescaleEngine } from './timescale-fixture.ts'

const SERIES = 300
const HOURS = 24
const ROUNDS = 60

describe.runIf(await isTimescaleOffered())('refreshing continuous aggregates', () => {
  test('misses nothing of what is unpacked at the same moment', async () => {
    await using fixture = await makeTimescaleEngine()
    const [scope, source] = [{ tenantId: randomUUID() }, newSource()]
    const startMs = WORKLOAD_NOW_MS - (WORKLOAD_NOW_MS % DAY_MS) - 30 * DAY_MS
    const keys = Array.from({ length: SERIES }, (_, n) => ({ metric: `m${n}`, tags: {} }))
    let value = 0
    /** Corrects one point of each of these series in each of these hours. */
    const correct = (series: readonly number[], hours: readonly number[]) => {
      const all = series.flatMap((one) =>
        hours.map((hour) => ({ one, timeMs: startMs + (hour * DAY_MS) / HOURS })),
      )
      return fixture.engine.correct(scope, {
        source,
        keys,
        series: Uint32Array.from(all, ({ one }) => one),
        timesMs: Float64Array.from(all, ({ timeMs }) => timeMs),
        values: Float64Array.from(all, () => value++),
      })
    }
    const everything = [...Array(SERIES).keys()]
    await correct(everything, [...Array(HOURS).keys()])
    for (let round = 0; round < ROUNDS; round++) {
      // Both ends of the day, so that everything between them is refreshed.
      await correct([0], [0, HOURS - 1])
      await compressAll(fixture.database)
      let isRefreshing = true
      const refreshing = fixture.neighbour
        .rollUp(new Date(WORKLOAD_NOW_MS))
        .finally(() => (isRefreshing = false))
      // Each is the first since its series was compressed, and unpacks it.
      for (const one of everything.slice(1)) if (isRefreshing) await correct([one], [HOURS - 1])
      await refreshing
      const buckets = await answered(fixture.engine, scope, {
        series: { sourceId: source.id },
        range: { fromMs: startMs, toMs: startMs + DAY_MS },
        bucket: { seconds: 3600 },
        groupBy: 'all',
      })
      expect(buckets.map(({ count }) => count)).toEqual(Array(HOURS).fill(SERIES))
    }
  }, 120_000)
})
