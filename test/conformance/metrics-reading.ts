import { randomUUID } from 'node:crypto'
import { expect } from 'vitest'
import { type MetricsEngine, POINT_LIMITS, type TimeRange } from '../../src/metrics/metrics-engine.ts'
import type { Check } from './metrics-engine.ts'
import { ALWAYS, bucketed, DAY_MS, newSource, pair, point, query, scanned, single } from './metrics-probe.ts'
import { WORKLOAD_NOW_MS } from './metrics-workload.ts'

/** What is found again, by whom, and at what pace. */
export function checkReading(check: Check): void {
  check('keeps tenants apart', async (fixture) => {
    const { engine } = fixture
    const [owner, other] = [{ tenantId: randomUUID() }, { tenantId: randomUUID() }]
    const source = newSource()
    await engine.append(owner, single(source, WORKLOAD_NOW_MS, 1))
    const [series] = await engine.listSeries(owner, {})
    const ids = [series!.id]
    expect(await engine.listSeries(other, {})).toEqual([])
    expect(await engine.listSeries(other, { ids, sourceId: source.id })).toEqual([])
    expect(await engine.latest(other, ids)).toEqual([])
    expect(await scanned(engine, other, ids, ALWAYS)).toEqual([])
    expect(await bucketed(engine, other, ids, ALWAYS, 86_400 * 365)).toEqual([])
    expect(await engine.dropSource(other, source.id)).toBe(0)
    // The same source and key under another tenant is another series.
    await engine.append(other, single(source, WORKLOAD_NOW_MS, 2))
    await engine.correct(other, single(source, WORKLOAD_NOW_MS, 3))
    expect((await engine.listSeries(other, {})).map(({ id }) => id)).not.toContain(ids[0])
    expect(await scanned(engine, owner, ids, ALWAYS)).toEqual([point(ids[0]!, WORKLOAD_NOW_MS, 1)])
  })

  check('finds series and newest points by whatever text and id it is asked for', async (fixture) => {
    const { engine } = fixture
    const [scope, other] = [{ tenantId: randomUUID() }, { tenantId: randomUUID() }]
    const source = newSource()
    const names = [
      `it's`,
      '"m"',
      'back\\slash',
      `\\'; drop table metrics.series; --`,
      '$1',
      'é\u{1f600}',
      '{1,2}',
      'null',
    ]
    const keys = names.map((name) => ({ metric: name, tags: { [name]: name, all: 'yes' } }))
    const values = [1, -2.5, Number.NaN, Infinity, -Infinity, 0, 1e-300, 1e148]
    const at = WORKLOAD_NOW_MS + 0.125
    await engine.append(scope, {
      source,
      keys,
      series: Uint32Array.from(keys.keys()),
      timesMs: new Float64Array(keys.length).fill(at),
      values: Float64Array.from(values),
    })
    await engine.append(other, single(source, WORKLOAD_NOW_MS, 7))
    const listed = new Map((await engine.listSeries(scope, {})).map(({ id, metric }) => [metric, id]))
    const ids = names.map((name) => listed.get(name)!)
    const [foreign] = await engine.listSeries(other, {})
    const asked = [...ids, ids[0]!, foreign!.id, 0, -1, 0.5, 2 ** 31, Number.NaN]
    const newest = new Map((await engine.latest(scope, asked)).map((found) => [found.seriesId, found]))
    expect([...newest]).toHaveLength(ids.length)
    for (const [i, id] of ids.entries()) expect(newest.get(id)).toEqual(point(id, at, values[i]!))
    expect(await engine.latest(scope, [foreign!.id])).toEqual([])
    expect(await engine.latest(scope, [])).toEqual([])
    const range = { fromMs: WORKLOAD_NOW_MS - DAY_MS, toMs: WORKLOAD_NOW_MS + DAY_MS }
    const found = async (selection: object, groupBy: 'series' | 'metric' | 'all', as = scope) => {
      const series = { sourceId: source.id, ...selection }
      const question = {
        series,
        range,
        bucket: { seconds: 3600 },
        groupBy,
        freshness: 'latest',
      } as const
      const buckets: [number, string | undefined, number][] = []
      for await (const { seriesId, group, count, nonFinite } of engine.query(as, question))
        buckets.push([seriesId, group, count + nonFinite])
      return buckets
    }
    for (const [i, name] of names.entries())
      for (const selection of [
        { metric: name },
        { tags: { [name]: name } },
        { metric: name, tags: { all: 'yes' } },
      ]) {
        expect(await found(selection, 'series')).toEqual([[ids[i], undefined, 1]])
        expect(await found(selection, 'metric')).toEqual([[ids[i], name, 1]])
        expect(await found(selection, 'all')).toEqual([[ids[i], '', 1]])
      }
    expect(await found({ tags: { all: 'yes' } }, 'metric')).toEqual(
      names.map((name, i) => [ids[i], name, 1] as const).toSorted(([a], [b]) => a! - b!),
    )
    expect(await found({}, 'all')).toEqual([[Math.min(...ids), '', ids.length]])
    for (const selection of [
      { metric: 'absent' },
      { tags: { all: 'no' } },
      { metric: 'a\0b' },
      { sourceId: `'` },
    ])
      expect(await found(selection, 'metric')).toEqual([])
    expect(await found({}, 'all', other)).toEqual([[foreign!.id, '', 1]])
  })

  check('refuses batches and queries that are too large or malformed', async (fixture) => {
    const { engine } = fixture
    const scope = { tenantId: randomUUID() }
    const source = newSource()
    const length = 1_000_001
    const huge = { source, keys: [{ metric: 'm', tags: {} }], series: new Uint32Array(length) }
    const columns = { timesMs: new Float64Array(length), values: new Float64Array(length) }
    await expect(engine.append(scope, { ...huge, ...columns })).rejects.toMatchObject({ code: 'too_large' })
    const lopsided = { ...single(source, 0, 1), values: new Float64Array(2) }
    await expect(engine.append(scope, lopsided)).rejects.toMatchObject({ code: 'invalid_input' })

    await engine.append(scope, pair(source, 0, POINT_LIMITS.maxTimeMs))
    const [series] = await engine.listSeries(scope, {})
    for (const width of [0, -1, 0.5, Number.NaN, 1e12])
      await expect(bucketed(engine, scope, [series!.id], ALWAYS, width)).rejects.toMatchObject({
        code: 'invalid_input',
        problems: [{ field: 'bucketSeconds' }],
      })
    await expect(bucketed(engine, scope, [series!.id], ALWAYS, 60)).rejects.toMatchObject({
      code: 'too_large',
    })
    // Few buckets in a wide question are fine.
    await engine.append(scope, { ...pair(source, 0, 60_000), keys: [{ metric: 'short', tags: {} }] })
    const [short] = await engine.listSeries(scope, { metric: 'short' })
    expect(await bucketed(engine, scope, [short!.id], ALWAYS, 1)).toHaveLength(2)
    expect(await bucketed(engine, scope, [short!.id, -1, 1.5, 2 ** 40], { fromMs: 1, toMs: 1 }, 1)).toEqual(
      [],
    )
  })

  check(
    'scans long series whole, in the order asked for, and stops when its reader does',
    async (fixture) => {
      const { engine } = fixture
      const scope = { tenantId: randomUUID() }
      const count = 150_000
      const batch = {
        source: newSource(),
        keys: ['a', 'b', 'c'].map((metric) => ({ metric, tags: {} })),
        series: Uint32Array.from({ length: count + 1 }, (_, i) =>
          i === count ? 2 : Math.floor(i / (count - 10)),
        ),
        timesMs: Float64Array.from({ length: count + 1 }, (_, i) => WORKLOAD_NOW_MS - i * 7_000.125),
        values: Float64Array.from({ length: count + 1 }, (_, i) => i),
      }
      await engine.append(scope, batch)
      const series = (await engine.listSeries(scope, {})).toSorted((a, b) => (a.metric < b.metric ? 1 : -1))
      const ids = series.map(({ id }) => id)
      const points = await scanned(engine, scope, ids, ALWAYS)
      expect(points).toHaveLength(count + 1)
      expect([...new Set(points.map(({ seriesId }) => seriesId))]).toEqual(ids)
      const long = points.filter(({ seriesId }) => seriesId === ids[2])
      expect(long.every(({ timeMs }, i) => i === 0 || timeMs > long[i - 1]!.timeMs)).toBe(true)
      // More readers, one after the other, than there are connections: each must have given its own back.
      for (let i = 0; i <= fixture.maxConnections; i++) {
        for await (const columns of engine.scan(scope, ids, ALWAYS)) {
          expect(columns.timesMs.length).toBeGreaterThan(0)
          break
        }
        for await (const bucket of query(engine, scope, ids, ALWAYS, 86_400)) {
          expect(bucket.count).toBeGreaterThan(0)
          break
        }
      }
    },
  )

  check('stops when it is told to', async (fixture) => {
    const { engine } = fixture
    const scope = { tenantId: randomUUID() }
    const source = newSource()
    const reason = new Error('enough')
    await expect(engine.append(scope, single(source, 0, 1), AbortSignal.abort(reason))).rejects.toBe(reason)
    expect(await engine.listSeries(scope, {})).toEqual([])
    await engine.append(scope, pair(source, 0, WORKLOAD_NOW_MS))
    await engine.append(scope, {
      ...pair(source, 0, WORKLOAD_NOW_MS),
      keys: [{ metric: 'second', tags: {} }],
    })
    const ids = (await engine.listSeries(scope, {})).map(({ id }) => id)
    const controller = new AbortController()
    const reading = async () => {
      for await (const columns of engine.scan(scope, ids, ALWAYS, controller.signal)) {
        expect(columns.seriesId).toBe(ids[0])
        controller.abort(reason)
      }
    }
    await expect(reading()).rejects.toBe(reason)
  })

  check('lists series by source, metric, tags and page', async (fixture) => {
    const { engine } = fixture
    const scope = { tenantId: randomUUID() }
    const source = newSource()
    const keys = Array.from({ length: 10 }, (_, i) => ({
      metric: `m${i % 2}`,
      tags: { host: `h${i}`, odd: `${i % 2}` },
    }))
    for (const key of keys) await engine.append(scope, { ...single(source, 0, 1), keys: [key] })
    const all = await engine.listSeries(scope, { sourceId: source.id })
    expect(all).toMatchObject(
      keys.map((key) => ({ ...key, source: { kind: 'dataset', id: source.id }, latestMs: 0 })),
    )
    const hosts = async (filter: Parameters<MetricsEngine['listSeries']>[1]) =>
      (await engine.listSeries(scope, filter)).map(({ tags }) => tags['host'])
    expect(await hosts({ metric: 'm1', limit: 2 })).toEqual(['h1', 'h3'])
    expect(await hosts({ metric: 'm1', limit: 2, afterId: all[3]!.id })).toEqual(['h5', 'h7'])
    expect(await hosts({ tags: { odd: '0', host: 'h4' } })).toEqual(['h4'])
    expect(await hosts({ ids: [all[1]!.id, all[0]!.id, -5, 0.5] })).toEqual(['h0', 'h1'])
    expect(await hosts({ sourceId: randomUUID() })).toEqual([])
    expect(await hosts({ sourceId: 'no uuid' })).toEqual([])
    expect(await hosts({ metric: 'm\0' })).toEqual([])
    expect(await hosts({ tags: { host: '\ud800' } })).toEqual([])
  })

  check('reads the newest points of a series, and sums up a source', async (fixture) => {
    const { engine } = fixture
    const scope = { tenantId: randomUUID() }
    const source = newSource()
    expect(await engine.summaries(scope, [source.id])).toEqual(new Map())
    const times = Array.from({ length: 100 }, (_, i) => WORKLOAD_NOW_MS - i * 20 * DAY_MS)
    const batch = {
      source,
      keys: [{ metric: 'm', tags: {} }],
      series: new Uint32Array(100),
      timesMs: Float64Array.from(times),
      values: Float64Array.from(times, (_, i) => i),
    }
    await engine.append(scope, batch)
    const [series] = await engine.listSeries(scope, {})
    const tail = async (range: TimeRange, limit: number) => [
      ...(await engine.tail(scope, series!.id, range, limit)).values,
    ]
    expect(await tail(ALWAYS, 3)).toEqual([2, 1, 0])
    expect(await tail({ fromMs: times[20]!, toMs: times[10]! }, 1000)).toEqual([
      20, 19, 18, 17, 16, 15, 14, 13, 12, 11,
    ])
    expect(await tail(ALWAYS, 0)).toEqual([])
    const other = { tenantId: randomUUID() }
    expect((await engine.tail(other, series!.id, ALWAYS, 3)).values).toHaveLength(0)
    expect(await engine.summaries(scope, [source.id])).toEqual(
      new Map([[source.id, { count: 1, latestMs: WORKLOAD_NOW_MS }]]),
    )
    expect(await engine.summaries(other, [source.id])).toEqual(new Map())
    expect(await engine.summaries(scope, ['no uuid'])).toEqual(new Map())
  })
}
