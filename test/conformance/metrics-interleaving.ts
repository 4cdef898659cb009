import { randomUUID } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import fc from 'fast-check'
import { expect } from 'vitest'
import type { MetricsEngine, TimeRange } from '../../src/metrics/metrics-engine.ts'
import type { Check } from './metrics-engine.ts'
import { answered, DAY_MS, expectSameBuckets, newSource } from './metrics-probe.ts'
import { ReferenceMetrics, referenceKey } from './metrics-reference.ts'
import { WORKLOAD_NOW_MS } from './metrics-workload.ts'
import { uniform } from '../support/random.ts'

const HOUR_MS = 3_600_000
const KEYS = ['a', 'b', 'c'].map((metric) => ({ metric, tags: {} }))

/** Writing, closing and computing at once. */
export function checkInterleaving(check: Check): void {
  // Each run closes hours that are still open, so each needs its own.
  let baseMs = WORKLOAD_NOW_MS + 20 * DAY_MS

  check(
    'loses no point of writes that are under way while hours are closed and computed',
    async (fixture) => {
      await fc.assert(
        fc.asyncProperty(fc.integer({ min: 1, max: 2 ** 31 }), async (seed) => {
          baseMs += DAY_MS
          fixture.setNow(baseMs + DAY_MS)
          const random = uniform(seed)
          const pausing = [0, 1].map(() => fixture.pausing((statement) => sleep(pauseMs(random, statement))))
          const [scope, source] = [{ tenantId: randomUUID() }, newSource()]
          const range = { fromMs: baseMs - 12 * HOUR_MS, toMs: baseMs + 6 * HOUR_MS }
          const batch = () => {
            const count = 1 + Math.floor(random() * 20)
            const pick = (below: number) => Math.floor(random() * below)
            return {
              source,
              keys: KEYS,
              series: Uint32Array.from({ length: count }, () => pick(3)),
              timesMs: Float64Array.from({ length: count }, () => range.fromMs + pick(18 * 12) * 300_000),
              values: Float64Array.from({ length: count }, () => pick(100)),
            }
          }
          let isWriting = true
          const writers = Array.from({ length: 4 }, async (_, writer) => {
            for (let i = 0; i < 6; i++)
              await pausing[writer % 2]![random() < 0.3 ? 'correct' : 'append'](scope, batch())
          })
          const closers = pausing.map(async (engine) => {
            for (let hour = -10; isWriting || hour <= 8; hour = Math.min(9, hour + 3))
              await engine.rollUp(new Date(baseMs + hour * HOUR_MS))
          })
          const reader = async () => {
            for (let before = 0; isWriting;) {
              const count = await countAll(fixture.neighbour, scope, source.id, range)
              expect(count).toBeGreaterThanOrEqual(before)
              before = count
            }
          }
          const done = Promise.all(writers).finally(() => (isWriting = false))
          await Promise.all([done, ...closers, reader()])
          await expectRight(fixture.engine, scope, source, range, baseMs + 9 * HOUR_MS)
        }),
        { numRuns: 8, endOnFailure: true },
      )
    },
    300_000,
  )

  check('does not close an hour before a write ends that began without knowing of it', async (fixture) => {
    baseMs += 2 * DAY_MS
    fixture.setNow(baseMs + DAY_MS)
    const [scope, source] = [{ tenantId: randomUUID() }, newSource()]
    const [reached, released] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()]
    let hasWritten = false
    const slow = fixture.pausing(async (statement) => {
      // Only the transaction that writes points, and not that which makes room for them.
      hasWritten ||= statement.includes('latest_points')
      if (statement !== 'commit' || !hasWritten) return
      reached.resolve()
      await released.promise
    })
    const range = { fromMs: baseMs - HOUR_MS, toMs: baseMs }
    const single = {
      source,
      keys: KEYS,
      series: new Uint32Array(1),
      timesMs: Float64Array.of(range.fromMs + 1),
      values: Float64Array.of(1),
    }
    await fixture.engine.append(scope, { ...single, timesMs: Float64Array.of(range.fromMs) })
    const writing = slow.append(scope, single)
    await reached.promise
    let isClosed = false
    const closing = fixture.neighbour.rollUp(new Date(baseMs + HOUR_MS)).then(() => (isClosed = true))
    await sleep(300)
    expect(isClosed).toBe(false)
    // Others are not held up, and what they write meanwhile is not lost either.
    await fixture.engine.append(scope, { ...single, series: Uint32Array.of(1) })
    expect(await countAll(fixture.engine, scope, source.id, range)).toBe(2)
    released.resolve()
    await Promise.all([writing, closing])
    expect(await countAll(fixture.engine, scope, source.id, range)).toBe(3)
    await expectRight(fixture.engine, scope, source, range, baseMs + HOUR_MS)
  })

  check(
    'hears of what is written while hours are being closed, however late that is committed',
    async (fixture) => {
      baseMs += 2 * DAY_MS
      fixture.setNow(baseMs + DAY_MS)
      const [scope, source] = [{ tenantId: randomUUID() }, newSource()]
      const range = { fromMs: baseMs - HOUR_MS, toMs: baseMs }
      const single = (offsetMs: number) => ({
        source,
        keys: KEYS,
        series: new Uint32Array(1),
        timesMs: Float64Array.of(range.fromMs + offsetMs),
        values: Float64Array.of(1),
      })
      await fixture.engine.append(scope, single(0))
      const [announced, written] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()]
      const [mayClose, mayCommit] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()]
      const closer = fixture.pausing(async (statement) => {
        if (!/closed_until.* for update/s.test(statement)) return
        announced.resolve()
        await mayClose.promise
      })
      let hasWritten = false
      const writer = fixture.pausing(async (statement) => {
        hasWritten ||= statement.includes('latest_points')
        if (statement !== 'commit' || !hasWritten) return
        written.resolve()
        await mayCommit.promise
      })
      const closing = closer.rollUp(new Date(baseMs + HOUR_MS))
      await announced.promise
      const writing = writer.append(scope, single(1))
      await written.promise
      mayClose.resolve()
      await closing
      expect(await countAll(fixture.engine, scope, source.id, range)).toBe(1)
      mayCommit.resolve()
      await writing
      expect(await countAll(fixture.engine, scope, source.id, range)).toBe(2)
      await expectRight(fixture.engine, scope, source, range, baseMs + HOUR_MS)
    },
  )
}

/** That roll-ups, when all marks are worked off, say what the raw points say, and are what is read. */
async function expectRight(
  engine: MetricsEngine,
  scope: { tenantId: string },
  source: ReturnType<typeof newSource>,
  range: TimeRange,
  nowMs: number,
): Promise<void> {
  while ((await engine.rollUp(new Date(nowMs))).hasMore) await sleep(20)
  const series = (await engine.listSeries(scope, { sourceId: source.id })).map(({ id, metric, tags }) => ({
    id,
    metric,
    key: referenceKey(scope.tenantId, source.id, { metric, tags }),
  }))
  const reference = new ReferenceMetrics(nowMs)
  const ids = series.map(({ id }) => id)
  for await (const { seriesId, timesMs, values } of engine.scan(scope, ids, range))
    reference.append(scope.tenantId, {
      source,
      keys: series.filter(({ id }) => id === seriesId).map(({ metric }) => ({ metric, tags: {} })),
      series: new Uint32Array(timesMs.length),
      timesMs,
      values,
    })
  for (const seconds of [3600, 86_400]) {
    const asked = { series: ids, range, bucket: { seconds } }
    const { segments } = await engine.explain(scope, { ...asked, freshness: 'latest' })
    expect(segments.filter((one) => one.source === 'raw')).toEqual([])
    expectSameBuckets(
      await answered(engine, scope, asked),
      reference.groupedBuckets(series, range, { seconds }, 'series'),
    )
  }
}

async function countAll(
  engine: MetricsEngine,
  scope: { tenantId: string },
  sourceId: string,
  range: TimeRange,
): Promise<number> {
  const asked = { series: { sourceId }, range, bucket: { seconds: 3600 }, groupBy: 'all' } as const
  return (await answered(engine, scope, asked)).reduce((sum, { count }) => sum + count, 0)
}

/** Mostly none, so that something is always moving; long ones where a transaction is about to become visible. */
function pauseMs(random: () => number, statement: string): number {
  if (statement === 'commit') return random() < 0.6 ? 0 : random() * (random() < 0.1 ? 300 : 25)
  return random() < 0.8 ? 0 : random() * 12
}
