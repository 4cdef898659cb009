import { randomUUID } from 'node:crypto'
import { expect } from 'vitest'
import { POINT_LIMITS } from '../../src/metrics/metrics-engine.ts'
import type { Check } from './metrics-engine.ts'
import {
  ALWAYS,
  bucketed,
  DAY_MS,
  newSource,
  pair,
  point,
  pointCount,
  scanned,
  single,
} from './metrics-probe.ts'
import { WORKLOAD_NOW_MS } from './metrics-workload.ts'

/** What is stored, counted, refused and forgotten. */
export function checkWriting(check: Check): void {
  check('counts overlapping batches of concurrent writers exactly', async (fixture) => {
    const { engine } = fixture
    const scope = { tenantId: randomUUID() }
    const source = newSource()
    const keys = Array.from({ length: 20 }, (_, i) => ({ metric: `m${i}`, tags: {} }))
    // Each batch holds points that several others hold, in an order of its own, over several partitions.
    const batches = Array.from({ length: 12 }, (_, writer) => {
      const points = Array.from({ length: 1500 }, (_unused, i) => (i * 7 + writer * 600) % 4000)
      return {
        source,
        keys: writer % 2 === 0 ? keys : keys.toReversed(),
        series: Uint32Array.from(points, (n) => (writer % 2 === 0 ? n % 20 : 19 - (n % 20))),
        timesMs: Float64Array.from(points, (n) => WORKLOAD_NOW_MS - Math.floor(n / 20) * DAY_MS),
        values: Float64Array.from(points, (n) => n),
      }
    })
    const reports = await Promise.all(
      batches.map((batch, i) => (i % 3 === 0 ? fixture.neighbour : engine).append(scope, batch)),
    )
    const sum = (pick: (i: number) => number) => reports.reduce((total, _, i) => total + pick(i), 0)
    const distinct = new Set(batches.flatMap((batch) => Array.from(batch.values))).size
    expect(sum((i) => reports[i]!.value.inserted)).toBe(distinct)
    expect(sum((i) => reports[i]!.value.conflicting)).toBe(0)
    expect(sum((i) => reports[i]!.value.duplicates)).toBe(12 * 1500 - distinct)
    const series = await engine.listSeries(scope, {})
    expect(series).toHaveLength(20)
    expect(await pointCount(engine, scope, series)).toBe(distinct)
    for (const { latestMs } of series) expect(latestMs).toBe(WORKLOAD_NOW_MS)
  })

  check('stores a batch that must be fresh whole, or nothing of it', async ({ engine }) => {
    const scope = { tenantId: randomUUID() }
    const source = newSource()
    const batch = (...points: (readonly [metric: number, second: number, value: number])[]) => ({
      source,
      keys: [
        { metric: 'a', tags: {} },
        { metric: 'b', tags: {} },
      ],
      series: Uint32Array.from(points, ([metric]) => metric),
      timesMs: Float64Array.from(points, ([, second]) => WORKLOAD_NOW_MS - second * 1000),
      values: Float64Array.from(points, ([, , value]) => value),
    })
    const stored = async () => pointCount(engine, scope, await engine.listSeries(scope, {}))
    const fresh = await engine.appendFresh(scope, batch([0, 9, 1], [0, 8, 1]))
    expect(fresh?.value).toMatchObject({ inserted: 2, duplicates: 0, conflicting: 0, rejectedTotal: 0 })
    const refused = [
      batch([0, 7, 1], [0, 9, 1]), // there already
      batch([0, 7, 1], [0, 9, 2]), // there with another value
      batch([0, 7, 1], [0, 7, 1]), // twice in the batch
      batch([0, 7, 1], [0, 7, 2]),
      batch([0, 7, 1], [1, 7, 1e200]), // beyond the limit
    ]
    for (const one of refused) expect(await engine.appendFresh(scope, one)).toBeUndefined()
    expect(await stored()).toBe(2)
    expect((await engine.listSeries(scope, {})).map(({ metric }) => metric)).toEqual(['a'])
    expect((await engine.appendFresh(scope, batch([0, 7, 1], [1, 7, 1])))?.value.inserted).toBe(2)
    expect(await stored()).toBe(4)
  })

  check('keeps the newest point under concurrent appends and corrections', async (fixture) => {
    const { engine } = fixture
    const scope = { tenantId: randomUUID() }
    const source = newSource()
    const writes = Array.from({ length: 30 }, (_, i) => {
      const batch = single(source, WORKLOAD_NOW_MS + ((i * 11) % 30) * 1000, i)
      return i % 5 === 0 ? engine.correct(scope, batch) : engine.append(scope, batch)
    })
    await Promise.all(writes)
    const [series] = await engine.listSeries(scope, {})
    const points = await scanned(engine, scope, [series!.id], ALWAYS)
    expect(points).toHaveLength(30)
    expect(await engine.latest(scope, [series!.id])).toEqual([points.at(-1)])
    const newestMs = points.at(-1)!.timeMs
    await engine.append(scope, single(source, newestMs, -1))
    expect(await engine.latest(scope, [series!.id])).toEqual([points.at(-1)])
    await engine.correct(scope, single(source, newestMs, -2))
    await engine.correct(scope, single(source, newestMs - 1000, -3))
    expect(await engine.latest(scope, [series!.id])).toEqual([point(series!.id, newestMs, -2)])
  })

  check('refuses what is beyond the limits, with a reason, and makes no series of it', async (fixture) => {
    const { engine } = fixture
    const scope = { tenantId: randomUUID() }
    const tags = (count: number) =>
      Object.fromEntries(Array.from({ length: count }, (_, i) => [`t${i}`, 'v']))
    const longTag = 'k'.repeat(POINT_LIMITS.maxTagKeyLength + 1)
    const keys = [
      { metric: '', tags: {} },
      { metric: 'm'.repeat(POINT_LIMITS.maxMetricLength + 1), tags: {} },
      { metric: 'a\0b', tags: {} },
      { metric: '\ud800', tags: {} },
      { metric: 'm', tags: tags(POINT_LIMITS.maxTags + 1) },
      { metric: 'm', tags: { [longTag]: 'v' } },
      { metric: 'm', tags: { k: 'v'.repeat(POINT_LIMITS.maxTagValueLength + 1) } },
      { metric: 'm', tags: { '': 'v' } },
      { metric: 'm', tags: { k: 7 as unknown as string } },
    ]
    const count = keys.length
    const { value } = await engine.append(scope, {
      source: newSource(),
      keys,
      series: Uint32Array.from({ length: count + 1 }, (_, i) => i),
      timesMs: new Float64Array(count + 1).fill(WORKLOAD_NOW_MS),
      values: new Float64Array(count + 1),
    })
    expect(value).toMatchObject({ inserted: 0, rejectedTotal: count + 1 })
    expect(value.rejected.map(({ index }) => index)).toEqual([...keys.keys(), count])
    for (const { reason } of value.rejected) expect(reason).toMatch(/\w+ \w+/)
    const widest = { metric: 'm'.repeat(POINT_LIMITS.maxMetricLength), tags: {} as Record<string, string> }
    for (let i = 0; i < POINT_LIMITS.maxTags; i++)
      widest.tags[String(i).padEnd(POINT_LIMITS.maxTagKeyLength, 'ü')] = '€'.repeat(
        POINT_LIMITS.maxTagValueLength,
      )
    const source = newSource()
    await engine.append(scope, { ...single(source, WORKLOAD_NOW_MS, 1), keys: [widest] })
    await fixture.neighbour.append(scope, { ...single(source, WORKLOAD_NOW_MS + 1, 1), keys: [widest] })
    const found = await engine.listSeries(scope, {})
    expect(found).toMatchObject([{ ...widest, latestMs: WORKLOAD_NOW_MS + 1 }])
  })

  check('removes a source, for those who remember its series too', async (fixture) => {
    const { engine } = fixture
    const scope = { tenantId: randomUUID() }
    const source = newSource()
    const kept = newSource()
    await engine.append(scope, single(source, WORKLOAD_NOW_MS, 1))
    await engine.append(scope, single(kept, WORKLOAD_NOW_MS, 2))
    const [before] = await engine.listSeries(scope, { sourceId: source.id })
    expect(await fixture.neighbour.dropSource(scope, source.id)).toBe(1)
    expect(await engine.listSeries(scope, { sourceId: source.id })).toEqual([])
    expect(await engine.latest(scope, [before!.id])).toEqual([])
    expect((await engine.append(scope, single(source, WORKLOAD_NOW_MS, 3))).value.inserted).toBe(1)
    const [after] = await engine.listSeries(scope, { sourceId: source.id })
    expect(await scanned(engine, scope, [before!.id, after!.id], ALWAYS)).toEqual([
      point(after!.id, WORKLOAD_NOW_MS, 3),
    ])
    expect(await engine.listSeries(scope, { sourceId: kept.id })).toHaveLength(1)
  })

  check('forgets by retention class what is too old', async (fixture) => {
    const { engine } = fixture
    const scope = { tenantId: randomUUID() }
    const later = WORKLOAD_NOW_MS + 40 * DAY_MS
    const sources = (['forever', 'year', 'month', 'week'] as const).map((retention) => newSource(retention))
    for (const source of sources) await engine.append(scope, single(source, WORKLOAD_NOW_MS, 1))
    await engine.maintain(new Date(WORKLOAD_NOW_MS))
    expect((await engine.listSeries(scope, {})).map(({ latestMs }) => latestMs)).toEqual(
      sources.map(() => WORKLOAD_NOW_MS),
    )
    fixture.setNow(later)
    const report = await fixture.neighbour.maintain(new Date(later))
    expect(report.partitionsDropped).toBeGreaterThanOrEqual(2)
    const series = await engine.listSeries(scope, {})
    expect(await engine.summaries(scope, [sources[3]!.id])).toEqual(
      new Map([[sources[3]!.id, { count: 1, latestMs: undefined }]]),
    )
    expect(series.map(({ latestMs }) => latestMs)).toEqual([
      WORKLOAD_NOW_MS,
      WORKLOAD_NOW_MS,
      undefined,
      undefined,
    ])
    expect(await pointCount(engine, scope, series)).toBe(2)
    const reports = []
    for (const source of sources)
      reports.push((await engine.append(scope, single(source, WORKLOAD_NOW_MS, 1))).value)
    expect(reports).toMatchObject([
      { duplicates: 1 },
      { duplicates: 1 },
      { rejectedTotal: 1 },
      { rejectedTotal: 1 },
    ])
    expect(reports[3]!.rejected[0]!.reason).toContain('retention')
    // An engine that still believes in the dropped partitions: its clock is behind.
    fixture.setNow(WORKLOAD_NOW_MS)
    expect((await engine.append(scope, single(sources[3]!, WORKLOAD_NOW_MS, 5))).value.inserted).toBe(1)
  })

  check('leaves series in the class they were made in', async (fixture) => {
    const { engine } = fixture
    const scope = { tenantId: randomUUID() }
    const source = newSource('week')
    await engine.append(scope, single(source, WORKLOAD_NOW_MS, 1))
    const widened = { ...source, retention: 'forever' } as const
    const old = WORKLOAD_NOW_MS - 30 * DAY_MS
    const batch = {
      ...pair(widened, old, WORKLOAD_NOW_MS + 1),
      keys: [
        { metric: 'm', tags: {} },
        { metric: 'new', tags: {} },
      ],
      series: Uint32Array.of(0, 0, 1, 1),
      timesMs: Float64Array.of(old, WORKLOAD_NOW_MS + 1, old, WORKLOAD_NOW_MS + 1),
      values: Float64Array.of(1, 2, 3, 4),
    }
    expect((await engine.append(scope, batch)).value).toMatchObject({ inserted: 3, rejectedTotal: 1 })
    const series = await engine.listSeries(scope, {})
    expect(series.map(({ retention }) => retention)).toEqual(['week', 'forever'])
    const ids = series.map(({ id }) => id).toReversed()
    expect((await scanned(engine, scope, ids, ALWAYS)).map(({ value }) => value)).toEqual([3, 4, 1, 2])
    const counts = (await bucketed(engine, scope, ids, ALWAYS, 3600)).map(({ count }) => count)
    expect(counts).toEqual([2, 1, 1])
  })
}
