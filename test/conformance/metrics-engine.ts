import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { MetricsEngine, Series } from '../../src/metrics/metrics-engine.ts'
import { ALWAYS, bucketed, expectSameBuckets, point, scanned } from './metrics-probe.ts'
import { checkReading } from './metrics-reading.ts'
import { ReferenceMetrics, referenceKey } from './metrics-reference.ts'
import { checkCharts } from './metrics-charts.ts'
import { checkInterleaving } from './metrics-interleaving.ts'
import { checkRollUps } from './metrics-roll-ups.ts'
import { newPlace, operations, toBatch, WORKLOAD_NOW_MS } from './metrics-workload.ts'
import type { Pause } from './pausing-database.ts'
import { checkWriting } from './metrics-writing.ts'

export interface EngineFixture extends AsyncDisposable {
  readonly engine: MetricsEngine
  /** Another engine on the same database, as another process has it. */
  readonly neighbour: MetricsEngine
  /** How many connections each of them may have, at most. */
  readonly maxConnections: number
  /** What the engines take for the present, in epoch milliseconds. */
  setNow(nowMs: number): void
  /** Another engine on the same database that calls `pause` before each statement of a transaction. */
  pausing(pause: Pause): MetricsEngine
  /** Makes every roll-up of the class `forever` count one value too many, behind the engine's back. */
  spoilRollUps(): Promise<void>
}

export interface SkippedTests {
  readonly reason: string
  readonly tests: readonly string[]
}

/** Adds a test, unless it is among those to be skipped. */
export type Check = (
  title: string,
  work: (fixture: EngineFixture) => Promise<void>,
  timeoutMs?: number,
) => void

/** What every metrics engine has to do, whatever it stands on. */
export function describeMetricsEngine(
  name: string,
  makeEngine: () => Promise<EngineFixture>,
  options: { readonly skip?: readonly SkippedTests[] } = {},
): void {
  const skipped = new Map(options.skip?.flatMap(({ reason, tests }) => tests.map((title) => [title, reason])))
  let fixture: EngineFixture
  const check: Check = (title, work, timeoutMs = 60_000) => {
    const run = async () => {
      fixture.setNow(WORKLOAD_NOW_MS)
      await work(fixture)
    }
    if (skipped.has(title)) test.skip(`${title} (${skipped.get(title)})`, run)
    else test(title, run, timeoutMs)
  }

  describe(`metrics engine ${name}`, () => {
    beforeAll(async () => {
      fixture = await makeEngine()
    })
    afterAll(async () => fixture[Symbol.asyncDispose]())

    check(
      'answers like the reference, whatever is written',
      async ({ engine }) => {
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

    checkWriting(check)
    checkReading(check)
    checkCharts(check)
    checkInterleaving(check)
    // Last: what it closes stays closed.
    checkRollUps(check)
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
      expectSameBuckets(buckets, wanted)
    }
  }
  const latest = (await engine.latest(scope, ids)).toSorted((a, b) => a.seriesId - b.seriesId)
  expect(latest).toEqual(series.map((one) => ({ seriesId: one.id, ...reference.latest(keyOf(one)) })))
  expect(latest.map(({ timeMs }) => timeMs)).toEqual(series.map(({ latestMs }) => latestMs))
}
