import { randomUUID } from 'node:crypto'
import fc from 'fast-check'
import { expect } from 'vitest'
import type { BucketGroup, BucketWidth, QueryPlan, TimeRange } from '../../src/metrics/metrics-engine.ts'
import type { Check } from './metrics-engine.ts'
import { ALWAYS, answered, DAY_MS, expectSameBuckets, newSource } from './metrics-probe.ts'
import { ReferenceMetrics, referenceKey } from './metrics-reference.ts'
import { KEYS, newPlace, toBatch, value } from './metrics-workload.ts'

const HOUR_MS = 3_600_000

/** Moments of a year around which points lie: when clocks change in Berlin and in New York, and the present. */
const ANCHORS: readonly ((year: number) => number)[] = [
  (year) => sunday(year, 2, 'last') + HOUR_MS,
  (year) => sunday(year, 9, 'last') + HOUR_MS,
  (year) => sunday(year, 2, 'first') + 7 * DAY_MS + 7 * HOUR_MS,
  (year) => sunday(year, 10, 'first') + 6 * HOUR_MS,
  presentOf,
]

/** A time of year, as an anchor and how far from it. */
const moment = fc.record({
  anchor: fc.nat(ANCHORS.length - 1),
  minutes: fc.oneof(
    fc.integer({ min: -48 * 6, max: 48 * 6 }).map((tens) => tens * 10),
    fc.integer({ min: -50, max: 50 }).map((hours) => hours * 60),
  ),
  micros: fc.constantFrom(0, 0, 0, 0, -1, 1, 59_999_999),
})
type Moment = typeof moment extends fc.Arbitrary<infer T> ? T : never

const step = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.record({
      kind: fc.constantFrom('append', 'append', 'correct'),
      source: fc.nat(3),
      points: fc.array(fc.record({ key: fc.nat(KEYS.length - 1), at: moment, value }), { maxLength: 60 }),
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({ kind: fc.constant('rollUp'), at: moment, byNeighbour: fc.boolean() }),
  },
)

const question = fc.record({
  bucket: fc.constantFrom<BucketWidth[]>(
    { seconds: 3600 },
    { seconds: 3600 },
    { seconds: 10_800 },
    { seconds: 5_400 },
    { seconds: 86_400 },
    { seconds: 7 * 86_400 },
    { unit: 'day', timeZone: 'Europe/Berlin' },
    { unit: 'week', timeZone: 'America/New_York' },
    { unit: 'day', timeZone: 'America/New_York' },
    { unit: 'month', timeZone: 'Europe/Berlin' },
    { unit: 'day', timeZone: 'Asia/Kolkata' },
    { unit: 'week', timeZone: 'UTC' },
  ),
  groupBy: fc.constantFrom<BucketGroup[]>('series', 'series', 'metric', 'all'),
  from: fc.option(moment),
  to: fc.option(moment),
})

/** Roll-ups answer as raw points would, at every moment, and are what is read. */
export function checkRollUps(check: Check): void {
  // Hours that are closed stay so: each run has a year of its own, as long as there are some.
  let nextYear = 2027

  check(
    'answers like the reference at every moment, before and after roll-ups are made',
    async (fixture) => {
      await fc.assert(
        fc.asyncProperty(
          fc.array(step, { minLength: 2, maxLength: 8 }),
          fc.array(question, { minLength: 8, maxLength: 8 }),
          async (steps, questions) => {
            const year = nextYear
            nextYear = Math.min(2090, nextYear + 1)
            fixture.setNow(presentOf(year))
            const place = newPlace(['forever', 'year', 'month', 'week'])
            const scope = place.tenants[0]!
            const reference = new ReferenceMetrics(presentOf(year))
            const compare = async () => {
              const series = (await fixture.engine.listSeries(scope, {})).map(
                ({ id, metric, tags, source }) => ({
                  id,
                  metric,
                  key: referenceKey(scope.tenantId, source.id, { metric, tags }),
                }),
              )
              for (const { bucket, groupBy, from, to } of questions) {
                const range = {
                  fromMs: from === null ? presentOf(year) - 400 * DAY_MS : instantOf(from, year),
                  toMs: to === null ? presentOf(year) + 10 * DAY_MS : instantOf(to, year),
                }
                const asked = { series: series.map(({ id }) => id), range, bucket, groupBy }
                expectSameBuckets(
                  await answered(fixture.engine, scope, asked),
                  reference.groupedBuckets(series, range, bucket, groupBy),
                )
                expectTiled(await fixture.engine.explain(scope, { ...asked, freshness: 'latest' }), range)
              }
            }
            for (const one of steps) {
              if (one.kind === 'rollUp' && 'byNeighbour' in one)
                await (one.byNeighbour ? fixture.neighbour : fixture.engine).rollUp(
                  new Date(instantOf(one.at, year)),
                )
              else if ('points' in one) {
                const points = one.points.map(({ at, ...point }) => ({
                  ...point,
                  timeMs: instantOf(at, year),
                }))
                const batch = toBatch(place, { source: one.source, points })
                const kind = one.kind === 'correct' ? 'correct' : 'append'
                const { value: report } = await fixture.engine[kind](scope, batch)
                expect(report).toMatchObject(reference[kind](scope.tenantId, batch))
              }
              await compare()
            }
            await fixture.neighbour.rollUp(new Date(presentOf(year)))
            await compare()
          },
        ),
        { numRuns: 25 },
      )
    },
    300_000,
  )

  check(
    'reads no raw point where roll-ups are right, and those of late hours only where they are not',
    async (fixture) => {
      const { engine } = fixture
      const year = nextYear++
      fixture.setNow(presentOf(year))
      const scope = { tenantId: randomUUID() }
      const source = newSource()
      const reference = new ReferenceMetrics(presentOf(year))
      const startMs = presentOf(year) - (presentOf(year) % DAY_MS) - 20 * DAY_MS
      const write = async (kind: 'append' | 'correct', times: readonly number[], add = 0) => {
        const batch = {
          source,
          keys: KEYS.slice(0, 2),
          series: Uint32Array.from(times, (_, i) => i % 2),
          timesMs: Float64Array.from(times),
          values: Float64Array.from(times, (_, i) => i + add),
        }
        await engine[kind](scope, batch)
        reference[kind](scope.tenantId, batch)
      }
      const tenDays = Array.from({ length: 10 * 24 * 60 }, (_, minute) => startMs + minute * 60_000)
      await write('append', tenDays)
      const series = (await engine.listSeries(scope, {})).map(({ id, metric, tags }) => ({
        id,
        metric,
        key: referenceKey(scope.tenantId, source.id, { metric, tags }),
      }))
      const range = { fromMs: startMs + 90_000, toMs: startMs + 9 * DAY_MS }
      const asked = (seconds: number) => ({
        series: { sourceId: source.id },
        range,
        bucket: { seconds },
        groupBy: 'all' as const,
      })
      const verify = async () => {
        for (const seconds of [3600, 86_400])
          expectSameBuckets(
            await answered(engine, scope, asked(seconds)),
            reference.groupedBuckets(series, range, { seconds }, 'all'),
          )
      }
      const explained = (seconds: number) => engine.explain(scope, { ...asked(seconds), freshness: 'latest' })
      /** How many raw points the segments of a plan make the engine read. */
      const rawPoints = ({ segments }: QueryPlan) =>
        segments
          .filter(({ source: from, reason }) => from === 'raw' && reason !== 'late')
          .flatMap(({ fromMs, toMs }) =>
            series.map(({ key }) => reference.points(key, { fromMs, toMs }).length),
          )
          .reduce((a, b) => a + b, 0) +
        segments.filter(({ reason }) => reason === 'late').reduce((sum, { hours }) => sum + hours! * 30, 0)

      await verify()
      await engine.rollUp(new Date(presentOf(year)))
      await verify()
      // The first hour, which the range begins in the middle of.
      expect(rawPoints(await explained(3600))).toBe(58)
      expect((await explained(3600)).segments.map(({ source: from }) => from)).toEqual(['raw', 'hourly'])
      const daily = await explained(86_400)
      expect(rawPoints(daily)).toBe(58)
      expect(daily.segments.map(({ source: from }) => from)).toEqual(['raw', 'hourly', 'daily'])

      await write('append', [startMs + 3 * DAY_MS + 5.5 * HOUR_MS + 1])
      await write('correct', [startMs + 4 * DAY_MS, startMs + 4 * DAY_MS + 60_000], 1e6)
      await verify()
      const behind = (await explained(86_400)).segments.filter(({ reason }) => reason === 'late')
      expect(behind).toMatchObject([{ source: 'raw', hours: 3, series: 2 }])
      expect(rawPoints(await explained(86_400))).toBe(58 + 3 * 30)
      // A retry changes nothing, and makes nothing late.
      await engine.rollUp(new Date(presentOf(year)))
      await write('append', tenDays)
      expect((await explained(86_400)).segments.filter(({ reason }) => reason === 'late')).toEqual([])
      await verify()

      // Were a roll-up wrong, these comparisons would tell.
      await fixture.spoilRollUps()
      await expect(verify()).rejects.toThrow()
      await write('correct', tenDays, 7)
      await verify()
      await engine.rollUp(new Date(presentOf(year)))
      await verify()
      expect((await explained(3600)).segments.map(({ source: from }) => from)).toEqual(['raw', 'hourly'])
    },
  )

  check('forgets roll-ups with the points that they were made from', async (fixture) => {
    const { engine } = fixture
    const year = nextYear++
    const nowMs = presentOf(year)
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
    await engine.maintain(new Date(laterMs))
    const ids = (await engine.listSeries(scope, { sourceId: kept.id })).map(({ id }) => id)
    const points = await Array.fromAsync(engine.scan(scope, ids, ALWAYS))
    expect(await count(kept.id)).toBe(points.reduce((sum, { timesMs }) => sum + timesMs.length, 0))
    expect(await count(kept.id)).toBeLessThan(144)
    await engine.rollUp(new Date(laterMs))
    expect(await count(kept.id)).toBe(points.reduce((sum, { timesMs }) => sum + timesMs.length, 0))
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

/** That every instant of the range is answered for once, in each class. */
function expectTiled({ segments }: QueryPlan, { fromMs, toMs: endMs }: TimeRange): void {
  const tiles = segments.filter(({ hours }) => hours === undefined)
  for (const [, own] of Map.groupBy(tiles, ({ retention }) => retention)) {
    expect(own[0]!.fromMs).toBe(fromMs)
    expect(own.at(-1)!.toMs).toBe(endMs)
    for (const [i, tile] of own.entries()) if (i > 0) expect(tile.fromMs).toBe(own[i - 1]!.toMs)
  }
}

function instantOf({ anchor, minutes, micros }: Moment, year: number): number {
  return (ANCHORS[anchor]!(year) * 1000 + minutes * 60_000_000 + micros) / 1000
}

/** What a run takes for now: both changes of the clocks lie in the year before it. */
function presentOf(year: number): number {
  return Date.UTC(year, 10, 15, 12)
}

/** The start, in UTC, of the first or last Sunday of a month, counted from 0. */
function sunday(year: number, month: number, which: 'first' | 'last'): number {
  const edge = which === 'first' ? new Date(Date.UTC(year, month, 1)) : new Date(Date.UTC(year, month + 1, 0))
  const weekday = edge.getUTCDay()
  return edge.getTime() + (which === 'first' ? (7 - weekday) % 7 : -weekday) * DAY_MS
}
