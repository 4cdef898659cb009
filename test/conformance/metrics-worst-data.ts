import { randomUUID } from 'node:crypto'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import {
  type MetricsEngine,
  POINT_LIMITS,
  type PointBatch,
  type SeriesKey,
} from '../../src/metrics/metrics-engine.ts'
import type { EngineFixture } from './metrics-engine.ts'
import { ALWAYS, answered, DAY_MS, expectSameBuckets, newSource, scanned } from './metrics-probe.ts'
import { ReferenceMetrics, referenceKey } from './metrics-reference.ts'
import { WORKLOAD_NOW_MS } from './metrics-workload.ts'

const HOUR_MS = 3_600_000
const EDGE = POINT_LIMITS.maxAbsoluteValue
const KEYS: readonly SeriesKey[] = [
  { metric: 'cpu', tags: { host: 'a' } },
  { metric: 'cpu', tags: { host: 'b' } },
  { metric: 'memory', tags: { host: 'a' } },
]
const MANY_SERIES = process.env['NOMALY_TEST_SCENARIOS'] === '1' ? 1_000_000 : 50_000
const SERIES_AT_ONCE = 25_000
/** A million series, four times over, and what makes roll-ups of them, beside other work. */
const TIMEOUT_MS = MANY_SERIES > 50_000 ? 3_600_000 : 300_000

/** How often roll-ups may have to be made until nothing is left to do, while nobody writes. */
const MOST_ROUNDS = 2

/** One tenant writes the worst there is; another one, in the same tables, must not notice. */
export function describeWorstData(name: string, makeEngine: () => Promise<EngineFixture>): void {
  describe(`worst data beside metrics engine ${name}`, () => {
    let fixture: EngineFixture
    let good: GoodTenant
    const bad = { tenantId: randomUUID() }

    beforeAll(async () => {
      fixture = await makeEngine()
      good = new GoodTenant(fixture.engine)
    })
    afterAll(() => fixture?.[Symbol.asyncDispose]())

    test(
      'harms nothing before hours are closed for the first time, nor after',
      { timeout: TIMEOUT_MS },
      async () => {
        await good.write(20, 0)
        for (const batch of worstBatches()) await fixture.engine.append(bad, batch)
        await good.verify()
        expect(await roundsUntilClean(fixture.engine)).toBeLessThanOrEqual(MOST_ROUNDS)
        await good.verify()
        expect(await good.sources()).toEqual(['hourly', 'daily'])
      },
    )

    test(
      'keeps nobody waiting for roll-ups, however much of it comes late',
      { timeout: TIMEOUT_MS },
      async () => {
        const { engine, neighbour } = fixture
        await roundsUntilClean(engine)
        await engine.append(bad, onePointPerYear(20))
        for (const batch of manySeries()) await engine.append(bad, shifted(batch))
        const writing = new AbortController()
        const flood = (async () => {
          for (let n = 1; !writing.signal.aborted; n++) await engine.append(bad, onePointPerYear(n))
        })()
        try {
          for (let round = 1; round <= 3; round++) {
            await good.write(7, round)
            expect(await good.sources()).toContain('raw late')
            await good.verify()
            // Once: what was late when it began is not any more when it ends, whatever came meanwhile.
            await neighbour.rollUp(new Date(WORKLOAD_NOW_MS))
            expect(await good.sources()).toEqual(['hourly', 'daily'])
            await good.verify()
          }
        } finally {
          writing.abort()
          await flood
        }
        expect(await roundsUntilClean(neighbour)).toBeLessThanOrEqual(MOST_ROUNDS)
        await good.verify()
      },
    )

    test('is answered to its own tenant as it is', { timeout: 120_000 }, async () => {
      const { engine } = fixture
      const source = newSource()
      const reference = new ReferenceMetrics(WORKLOAD_NOW_MS)
      const batch = { ...worstValues(), source }
      const { value } = await engine.append(bad, batch)
      expect(value).toMatchObject(reference.append(bad.tenantId, batch))
      expect(value.rejectedTotal).toBe(2)
      await roundsUntilClean(engine)
      const [one] = await engine.listSeries(bad, { sourceId: source.id })
      const key = referenceKey(bad.tenantId, source.id, batch.keys[0]!)
      for (const seconds of [1, 3600, 86_400, 365 * 86_400])
        expectSameBuckets(
          await answered(engine, bad, { series: [one!.id], range: ALWAYS, bucket: { seconds } }),
          reference.buckets(key, ALWAYS, seconds).map((bucket) => ({ seriesId: one!.id, ...bucket })),
        )
    })
  })

  test('no day of a series holds so much that the sum of squares overflows, for everybody', () => {
    const microsecondsOfDay = DAY_MS * 1000
    expect(EDGE * EDGE * microsecondsOfDay).toBeLessThan(Infinity)
  })
}

/** Ordinary metrics of some days, in two classes, beside a plain reference. */
class GoodTenant {
  readonly #engine: MetricsEngine
  readonly #scope = { tenantId: randomUUID() }
  readonly #sources = [newSource('forever'), newSource('week')]
  readonly #reference = new ReferenceMetrics(WORKLOAD_NOW_MS)

  constructor(engine: MetricsEngine) {
    this.#engine = engine
  }

  /** Writes points every `minutes` of the last six days and the next one, at a second of their own, and corrects some. */
  async write(minutes: number, second: number): Promise<void> {
    const startMs = WORKLOAD_NOW_MS - 6 * DAY_MS
    const count = Math.floor((7 * DAY_MS) / (minutes * 60_000))
    for (const source of this.#sources) {
      const batch: PointBatch = {
        source,
        keys: KEYS,
        series: Uint32Array.from({ length: count }, (_, i) => i % KEYS.length),
        timesMs: Float64Array.from(
          { length: count },
          (_, i) => startMs + i * minutes * 60_000 + second * 1000,
        ),
        values: Float64Array.from({ length: count }, (_, i) => ((i * 37 + second) % 101) / 4),
      }
      const correction = {
        ...batch,
        values: batch.values.map((value, i) => (i % 40 === 0 ? value + 1 : value)),
      }
      for (const [kind, given] of [
        ['append', batch],
        ['correct', correction],
      ] as const) {
        const { value } = await this.#engine[kind](this.#scope, given)
        expect(value).toMatchObject(this.#reference[kind](this.#scope.tenantId, given))
      }
    }
  }

  /** Everything that can be read of it is as the reference says. */
  async verify(): Promise<void> {
    const listed = await this.#engine.listSeries(this.#scope, {})
    expect(listed.length).toBe(this.#reference.series.size)
    const series = listed.map(({ id, metric, tags, source }) => ({
      id,
      metric,
      key: referenceKey(this.#scope.tenantId, source.id, { metric, tags }),
    }))
    const ids = series.map(({ id }) => id)
    for (const range of [
      ALWAYS,
      { fromMs: WORKLOAD_NOW_MS - 3 * DAY_MS - 90_000, toMs: WORKLOAD_NOW_MS - HOUR_MS / 2 },
    ])
      for (const seconds of [3_600, 86_400])
        for (const groupBy of ['series', 'all'] as const) {
          const asked = { series: ids, range, bucket: { seconds }, groupBy }
          expectSameBuckets(
            await answered(this.#engine, this.#scope, asked),
            this.#reference.groupedBuckets(series, range, { seconds }, groupBy),
          )
        }
    const wanted = series.flatMap(({ id, key }) =>
      this.#reference.points(key, ALWAYS).map(([timeMs, value]) => ({ seriesId: id, timeMs, value })),
    )
    expect(await scanned(this.#engine, this.#scope, ids, ALWAYS)).toEqual(wanted)
    expect((await this.#engine.latest(this.#scope, ids)).toSorted((a, b) => a.seriesId - b.seriesId)).toEqual(
      series.map(({ id, key }) => ({ seriesId: id, ...this.#reference.latest(key)! })),
    )
  }

  /** Where whole days that are over are answered from, over its classes. */
  async sources(): Promise<string[]> {
    const startMs = WORKLOAD_NOW_MS - (WORKLOAD_NOW_MS % DAY_MS) - 4 * DAY_MS
    const found = new Set<string>()
    for (const { id: sourceId } of this.#sources)
      for (const seconds of [3_600, 86_400]) {
        const { segments } = await this.#engine.explain(this.#scope, {
          series: { sourceId },
          range: { fromMs: startMs, toMs: startMs + 3 * DAY_MS },
          bucket: { seconds },
          freshness: 'latest',
        })
        for (const { source, reason } of segments)
          found.add(reason === 'whole' ? source : `${source} ${reason}`)
      }
    return [...found]
  }
}

/** Makes roll-ups until nothing is left to do; answers how often that took. */
async function roundsUntilClean(engine: MetricsEngine): Promise<number> {
  for (let round = 1; ; round++) {
    if (!(await engine.rollUp(new Date(WORKLOAD_NOW_MS))).hasMore) return round
    if (round === 20) throw new Error('The roll-ups do not come to an end.')
  }
}

const WORST_SOURCE = newSource('forever')

function* worstBatches(): Generator<PointBatch> {
  yield { source: WORST_SOURCE, ...worstValues() }
  yield onePointPerYear(0)
  // All at one instant, of which one counts; and a million in one second, as large as can be.
  yield columns(
    'instant',
    100_000,
    () => WORKLOAD_NOW_MS - DAY_MS,
    (i) => i,
  )
  yield columns(
    'second',
    1_000_000,
    (i) => WORKLOAD_NOW_MS - DAY_MS + i / 1000,
    (i) => (i % 2 === 0 ? EDGE : -EDGE),
  )
  yield* manySeries()
}

/** Each with a point in the past, one now and one in the far future. */
function* manySeries(): Generator<PointBatch> {
  for (let first = 0; first < MANY_SERIES; first += SERIES_AT_ONCE) {
    const times = [0, WORKLOAD_NOW_MS - 5 * HOUR_MS, POINT_LIMITS.maxTimeMs]
    yield {
      source: WORST_SOURCE,
      keys: Array.from({ length: SERIES_AT_ONCE }, (_, i) => ({
        metric: 'many',
        tags: { request: `${first + i}` },
      })),
      series: Uint32Array.from({ length: 3 * SERIES_AT_ONCE }, (_, i) => Math.floor(i / 3)),
      timesMs: Float64Array.from({ length: 3 * SERIES_AT_ONCE }, (_, i) => times[i % 3]!),
      values: Float64Array.from({ length: 3 * SERIES_AT_ONCE }, (_, i) => (i % 2 === 0 ? EDGE : Number.NaN)),
    }
  }
}

/** Values beside which nothing can be added up, some of which are refused. */
function worstValues(): Omit<PointBatch, 'source'> {
  const values = [1e308, -1e308, EDGE, EDGE, -EDGE, Number.NaN, Infinity, -Infinity, 5e-324, 1e-170, -0, EDGE]
  return columns(
    'values',
    values.length,
    (i) => WORKLOAD_NOW_MS - 2 * DAY_MS + i,
    (i) => values[i]!,
  )
}

/** 1970 to 2100, and the very ends. */
function onePointPerYear(n: number): PointBatch {
  const last = POINT_LIMITS.maxTimeMs
  return columns(
    'years',
    132,
    (i) => (i === 131 ? last : Math.min(last, Date.UTC(1970 + i, 0, 1 + (n % 20), 0, 0, n))),
    () => EDGE,
  )
}

function columns(
  metric: string,
  length: number,
  timeMs: (i: number) => number,
  value: (i: number) => number,
): PointBatch {
  return {
    source: WORST_SOURCE,
    keys: [{ metric, tags: {} }],
    series: new Uint32Array(length),
    timesMs: Float64Array.from({ length }, (_, i) => timeMs(i)),
    values: Float64Array.from({ length }, (_, i) => value(i)),
  }
}

/** The same a little later, which is there not yet. */
function shifted(batch: PointBatch): PointBatch {
  return {
    ...batch,
    timesMs: batch.timesMs.map((timeMs) => Math.min(POINT_LIMITS.maxTimeMs, timeMs + 1_001_001)),
  }
}
