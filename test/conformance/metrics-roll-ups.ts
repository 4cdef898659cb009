import { randomUUID } from 'node:crypto'
import fc from 'fast-check'
import { expect } from 'vitest'
import type { BucketGroup, BucketWidth, QueryPlan } from '../../src/metrics/metric-query.ts'
import type { TimeRange } from '../../src/metrics/metrics-engine.ts'
import type { Check } from './metrics-engine.ts'
import { answered, DAY_MS, expectSameBuckets, newSource } from './metrics-probe.ts'
import { ReferenceMetrics, referenceKey } from './metrics-reference.ts'
import { KEYS, newPlace, toBatch, value } from './metrics-workload.ts'
import { checkForgetting } from './metrics-forgetting.ts'
import { instantOf, moment, presentOf } from './metrics-years.ts'

const HOUR_MS = 3_600_000

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

  checkForgetting(check, () => nextYear++)
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
