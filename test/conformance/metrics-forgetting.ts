import { setTimeout as sleep } from 'node:timers/promises'
import { randomUUID } from 'node:crypto'
import { expect } from 'vitest'
import type { BucketGroup, BucketWidth } from '../../src/metrics/metric-query.ts'
import type { Check } from './metrics-engine.ts'
import { ALWAYS, answered, DAY_MS, newSource } from './metrics-probe.ts'
import { presentOf } from './metrics-years.ts'

const HOUR_MS = 3_600_000

/** What has no roll-up any more, and what never had one. Each call of `takeYear` answers a year whose hours are still open. */
export function checkForgetting(check: Check, takeYear: () => number): void {
  check('forgets roll-ups with the points that they were made from', async (fixture) => {
    const { engine } = fixture
    const nowMs = presentOf(takeYear())
    fixture.setNow(nowMs)
    const scope = { tenantId: randomUUID() }
    const [kept, dropped] = [newSource('week'), newSource('week')]
    const times = Array.from({ length: 6 * 24 }, (_, hour) => nowMs - (hour + 1) * HOUR_MS)
    for (const source of [kept, dropped])
      await engine.append(scope, {
        source,
        keys: [{ metric: source.id, tags: {} }],
        series: new Uint32Array(times.length),
        timesMs: Float64Array.from(times),
        values: Float64Array.from(times),
      })
    await engine.rollUp(new Date(nowMs))
    const asked = { range: ALWAYS, bucket: { seconds: 86_400 }, groupBy: 'all' } as const
    const count = async (sourceId: string) =>
      (await answered(engine, scope, { ...asked, series: { sourceId } })).reduce(
        (sum, one) => sum + one.count,
        0,
      )
    expect([await count(kept.id), await count(dropped.id)]).toEqual([144, 144])
    expect(await engine.dropSource(scope, dropped.id)).toBe(1)
    expect([await count(kept.id), await count(dropped.id)]).toEqual([144, 0])
    const laterMs = nowMs + 10 * DAY_MS
    fixture.setNow(laterMs)
    // What is in use is left for the next time; so may one be that the server is just vacuuming.
    while ((await engine.maintain(new Date(laterMs))).partitionsDropped === 0) await sleep(100)
    const ids = (await engine.listSeries(scope, { sourceId: kept.id })).map(({ id }) => id)
    const points = await Array.fromAsync(engine.scan(scope, ids, ALWAYS))
    expect(await count(kept.id)).toBe(points.reduce((sum, { timesMs }) => sum + timesMs.length, 0))
    expect(await count(kept.id)).toBeLessThan(144)
    await engine.rollUp(new Date(laterMs))
    expect(await count(kept.id)).toBe(points.reduce((sum, { timesMs }) => sum + timesMs.length, 0))
  })

  check('forgets some series of a source and no other, and takes them anew', async (fixture) => {
    const { engine } = fixture
    const nowMs = presentOf(takeYear())
    fixture.setNow(nowMs)
    const scope = { tenantId: randomUUID() }
    const source = newSource('year')
    const keys = ['a', 'b', 'c'].map((metric) => ({ metric, tags: {} }))
    const times = Array.from({ length: 48 }, (_, hour) => nowMs - (hour + 1) * HOUR_MS)
    const batch = {
      source,
      keys,
      series: Uint32Array.from(times, (_, index) => index % 3),
      timesMs: Float64Array.from(times),
      values: Float64Array.from(times),
    }
    await engine.append(scope, batch)
    await engine.rollUp(new Date(nowMs))
    const [a, b, c] = (await engine.listSeries(scope, { sourceId: source.id })).toSorted((x, y) =>
      x.metric < y.metric ? -1 : 1,
    )
    const counts = async (): Promise<number[]> => {
      const query = { range: ALWAYS, bucket: { seconds: 86_400 }, groupBy: 'series' } as const
      const buckets = await answered(engine, scope, { ...query, series: { sourceId: source.id } })
      return [a!, b!, c!].map(({ id }) =>
        buckets.filter(({ seriesId }) => seriesId === id).reduce((sum, { count }) => sum + count, 0),
      )
    }
    expect(await counts()).toEqual([16, 16, 16])
    expect(await engine.dropSeries({ tenantId: randomUUID() }, source.id, [a!.id])).toBe(0)
    expect(await engine.dropSeries(scope, newSource('year').id, [a!.id])).toBe(0)
    expect(await engine.dropSeries(scope, source.id, [a!.id, c!.id, c!.id, 2 ** 31 - 1, -1])).toBe(2)
    expect(await counts()).toEqual([0, 16, 0])
    expect((await engine.listSeries(scope, { sourceId: source.id })).map(({ id }) => id)).toEqual([b!.id])
    expect(await engine.latest(scope, [a!.id, b!.id, c!.id])).toHaveLength(1)
    expect(await engine.dropSeries(scope, source.id, [a!.id, c!.id])).toBe(0)
    expect((await engine.append(scope, batch)).value).toMatchObject({ inserted: 32, duplicates: 16 })
    expect(await counts()).toEqual([0, 16, 0])
  })

  check('refuses buckets of units and zones that do not exist', async ({ engine }) => {
    const scope = { tenantId: randomUUID() }
    const ask = (bucket: object, groupBy = 'series') =>
      answered(engine, scope, {
        series: [1],
        range: ALWAYS,
        bucket: bucket as BucketWidth,
        groupBy: groupBy as BucketGroup,
      })
    for (const timeZone of ['Mars/Olympus', '+02', 'UTC+2', "UTC'; select", ''])
      await expect(ask({ unit: 'day', timeZone }), timeZone).rejects.toMatchObject({
        problems: [{ field: 'timeZone' }],
      })
    await expect(ask({ unit: 'hour', timeZone: 'UTC' })).rejects.toMatchObject({
      problems: [{ field: 'unit' }],
    })
    await expect(ask({ seconds: 60 }, 'tag')).rejects.toMatchObject({ problems: [{ field: 'groupBy' }] })
  })
}
