import { randomUUID } from 'node:crypto'
import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import {
  type MetricBucket,
  type MetricPoint,
  type MetricsEngine,
  POINT_LIMITS,
  type PointBatch,
  type RetentionClass,
  type Series,
  type SeriesId,
  type TimeRange,
} from '../../src/metrics/metrics-engine.ts'
import { ReferenceMetrics, referenceKey } from './metrics-reference.ts'
import { newPlace, operations, toBatch, WORKLOAD_NOW_MS } from './metrics-workload.ts'

export interface EngineFixture extends AsyncDisposable {
  readonly engine: MetricsEngine
  /** Another engine on the same database, as another process has it. */
  readonly neighbour: MetricsEngine
  /** How many connections each of them may have, at most. */
  readonly maxConnections: number
  /** What the engines take for the present, in epoch milliseconds. */
  setNow(nowMs: number): void
}

export interface SkippedTests {
  readonly reason: string
  readonly tests: readonly string[]
}

const DAY_MS = 86_400_000
const ALWAYS: TimeRange = { fromMs: -Infinity, toMs: Infinity }

/** What every metrics engine has to do, whatever it stands on. */
export function describeMetricsEngine(
  name: string,
  makeEngine: () => Promise<EngineFixture>,
  options: { readonly skip?: readonly SkippedTests[] } = {},
): void {
  const skipped = new Map(options.skip?.flatMap(({ reason, tests }) => tests.map((title) => [title, reason])))
  const check = (title: string, work: () => Promise<void>, timeoutMs = 60_000) =>
    skipped.has(title)
      ? test.skip(`${title} (${skipped.get(title)})`, work)
      : test(
          title,
          async () => {
            fixture.setNow(WORKLOAD_NOW_MS)
            await work()
          },
          timeoutMs,
        )
  let fixture: EngineFixture
  let engine: MetricsEngine

  describe(`metrics engine ${name}`, () => {
    beforeAll(async () => {
      fixture = await makeEngine()
      engine = fixture.engine
    })
    afterAll(async () => fixture[Symbol.asyncDispose]())

    check(
      'answers like the reference, whatever is written',
      async () => {
        await fc.assert(
          fc.asyncProperty(operations, async (given) => {
            const place = newPlace()
            const reference = new ReferenceMetrics(WORKLOAD_NOW_MS)
            for (const operation of given) {
              const scope = place.tenants[operation.tenant]!
              const batch = toBatch(place, operation)
              const { value } = await engine[operation.kind](scope, batch)
              const { rejected, ...counts } = value
              expect(counts).toEqual(reference[operation.kind](scope.tenantId, batch))
              expect(rejected.length).toBe(Math.min(100, counts.rejectedTotal))
            }
            for (const scope of place.tenants) await compare(engine, scope, reference)
          }),
          { numRuns: 25 },
        )
      },
      300_000,
    )

    check('counts overlapping batches of concurrent writers exactly', async () => {
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

    check('keeps the newest point under concurrent appends and corrections', async () => {
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
    })

    check('keeps tenants apart', async () => {
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

    check('refuses what is beyond the limits, with a reason, and makes no series of it', async () => {
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

    check('refuses batches and queries that are too large or malformed', async () => {
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

    check('scans long series whole, in the order asked for, and stops when its reader does', async () => {
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
    })

    check('stops when it is told to', async () => {
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

    check('removes a source, for those who remember its series too', async () => {
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

    check('forgets by retention class what is too old', async () => {
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

    check('leaves series in the class they were made in', async () => {
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

    check('lists series by source, metric, tags and page', async () => {
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
    })
  })
}

/** Compares everything a tenant can read. */
async function compare(
  engine: MetricsEngine,
  scope: { tenantId: string },
  reference: ReferenceMetrics,
): Promise<void> {
  const series = await engine.listSeries(scope, {})
  const keyOf = (one: Series) => referenceKey(scope.tenantId, one.source.id, one)
  const expectedKeys = [...reference.series.keys()].filter((key) => key.includes(scope.tenantId))
  expect(series.map(keyOf).toSorted()).toEqual(expectedKeys.toSorted())
  const ids = series.map(({ id }) => id)
  const near = { fromMs: WORKLOAD_NOW_MS - 9_000.5, toMs: WORKLOAD_NOW_MS + 1.5 }
  for (const range of [ALWAYS, near]) {
    const expected = series.flatMap((one) =>
      reference.points(keyOf(one), range).map(([timeMs, value]) => point(one.id, timeMs, value)),
    )
    expect(await scanned(engine, scope, ids, range)).toEqual(expected)
    for (const width of range === near ? [1, 7, 3600] : [86_400 * 30, 86_400 * 365 * 3]) {
      const buckets = await bucketed(engine, scope, ids, range, width)
      const wanted = series.flatMap((one) =>
        reference.buckets(keyOf(one), range, width).map((bucket) => ({ seriesId: one.id, ...bucket })),
      )
      expect(buckets.map(exactPart)).toEqual(wanted.map(exactPart))
      for (const [i, bucket] of buckets.entries()) {
        // Adding up in another order may differ in the last digits of the largest terms.
        const magnitude = Math.max(Math.abs(bucket.min ?? 0), Math.abs(bucket.max ?? 0)) * bucket.count
        expect(Math.abs((bucket.sum ?? 0) - (wanted[i]!.sum ?? 0))).toBeLessThanOrEqual(1e-12 * magnitude)
        const squares = wanted[i]!.sumSquares ?? 0
        // Squares below the smallest normal float count as nothing.
        expect(Math.abs((bucket.sumSquares ?? 0) - squares)).toBeLessThanOrEqual(1e-12 * squares + 1e-300)
        expect(bucket.sumSquares === null).toBe(wanted[i]!.sumSquares === null)
      }
    }
  }
  const latest = (await engine.latest(scope, ids)).toSorted((a, b) => a.seriesId - b.seriesId)
  expect(latest).toEqual(series.map((one) => ({ seriesId: one.id, ...reference.latest(keyOf(one)) })))
  expect(latest.map(({ timeMs }) => timeMs)).toEqual(series.map(({ latestMs }) => latestMs))
}

function exactPart({ sum, sumSquares, ...exact }: MetricBucket): Omit<MetricBucket, 'sum' | 'sumSquares'> {
  return exact
}

function newSource(retention: RetentionClass = 'forever') {
  return { kind: 'dataset', id: randomUUID(), retention } as const
}

function single(source: PointBatch['source'], timeMs: number, value: number): PointBatch {
  const columns = {
    series: new Uint32Array(1),
    timesMs: Float64Array.of(timeMs),
    values: Float64Array.of(value),
  }
  return { source, keys: [{ metric: 'm', tags: {} }], ...columns }
}

function pair(source: PointBatch['source'], firstMs: number, secondMs: number): PointBatch {
  const columns = {
    series: new Uint32Array(2),
    timesMs: Float64Array.of(firstMs, secondMs),
    values: Float64Array.of(1, 2),
  }
  return { source, keys: [{ metric: 'm', tags: {} }], ...columns }
}

function point(seriesId: SeriesId, timeMs: number, value: number): MetricPoint {
  return { seriesId, timeMs, value }
}

async function scanned(
  engine: MetricsEngine,
  scope: { tenantId: string },
  ids: readonly SeriesId[],
  range: TimeRange,
): Promise<MetricPoint[]> {
  const points: MetricPoint[] = []
  for await (const { seriesId, timesMs, values } of engine.scan(scope, ids, range))
    for (const [i, timeMs] of timesMs.entries()) points.push(point(seriesId, timeMs, values[i]!))
  return points
}

async function pointCount(
  engine: MetricsEngine,
  scope: { tenantId: string },
  series: readonly Series[],
): Promise<number> {
  return (
    await scanned(
      engine,
      scope,
      series.map(({ id }) => id),
      ALWAYS,
    )
  ).length
}

function query(
  engine: MetricsEngine,
  scope: { tenantId: string },
  series: readonly SeriesId[],
  range: TimeRange,
  bucketSeconds: number,
): AsyncIterable<MetricBucket> {
  return engine.query(scope, { series, range, bucketSeconds, freshness: 'latest' })
}

async function bucketed(...asked: Parameters<typeof query>): Promise<MetricBucket[]> {
  const buckets: MetricBucket[] = []
  for await (const bucket of query(...asked)) buckets.push(bucket)
  return buckets
}
