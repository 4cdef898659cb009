import { randomUUID } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import fc from 'fast-check'
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { MetricsEngine, PointBatch, Series } from '../../src/metrics/metrics-engine.ts'
import { backfillAll, type BackfillDesk, mergeAll, openDesk, toPart } from '../metrics/backfill-desk.ts'
import type { EngineFixture } from './metrics-engine.ts'
import { ALWAYS, answered, DAY_MS, expectSameBuckets, newSource, scanned } from './metrics-probe.ts'
import { operations, toBatch, WORKLOAD_NOW_MS } from './metrics-workload.ts'
import type { Pause } from './pausing-database.ts'

type Fixture = EngineFixture & { readonly adminUrl: string }

const clock = () => WORKLOAD_NOW_MS
const MONTH_AGO = Math.floor((WORKLOAD_NOW_MS - 30 * DAY_MS) / DAY_MS) * DAY_MS

/** Points of three series, each hour of some days; `shift` moves their values. */
function hourly(days: number, shift = 0): Omit<PointBatch, 'source'> {
  const count = days * 24 * 3
  return {
    keys: ['a', 'b', 'c'].map((metric) => ({ metric, tags: {} })),
    series: Uint32Array.from({ length: count }, (_, i) => i % 3),
    timesMs: Float64Array.from({ length: count }, (_, i) => MONTH_AGO + Math.floor(i / 3) * 3_600_000),
    values: Float64Array.from({ length: count }, (_, i) => ((i * 7) % 100) + shift),
  }
}

/** What a backfill has to do, whatever it is merged into. */
export function describeBackfills(makeFixture: () => Promise<Fixture>): void {
  let fixture: Fixture
  let desk: BackfillDesk
  const open = (pause?: Pause) =>
    openDesk({
      adminUrl: fixture.adminUrl,
      engine: fixture.engine.name,
      clock,
      ...(pause === undefined ? {} : { pause }),
    })
  const tables = async (): Promise<unknown[]> =>
    desk.database.read({ role: 'nomaly_system', freshness: 'latest' }, (connection) =>
      connection.query(
        "select relname from pg_class where relname like 'backfill\\_points\\_%' and relkind = 'r'",
      ),
    )

  beforeAll(async () => {
    fixture = await makeFixture()
    fixture.setNow(WORKLOAD_NOW_MS)
    desk = open()
  })
  afterAll(async () => {
    await desk[Symbol.asyncDispose]()
    await fixture[Symbol.asyncDispose]()
  })

  test('comes to what appends of its parts would have come to', async () => {
    await fc.assert(
      fc.asyncProperty(operations, operations, fc.boolean(), async (before, parts, isOfAnotherClass) => {
        const scope = { tenantId: randomUUID() }
        const [filled, appended] = [newSource('week'), newSource('week')]
        const batchesOf = (given: typeof before) =>
          given.map((operation) => toBatch({ tenants: [], sources: [filled] }, { ...operation, source: 0 }))
        for (const [index, batch] of batchesOf(before).entries())
          for (const source of [filled, appended])
            await fixture.engine[before[index]!.kind](scope, { ...batch, source })
        // Series keep the class that they were made with.
        const retention = isOfAnotherClass ? 'forever' : 'week'
        const batches = batchesOf(parts)
        const counts = { inserted: 0, duplicates: 0, conflicting: 0, rejectedTotal: 0 }
        for (const batch of batches) {
          const { value } = await fixture.engine.append(scope, {
            ...batch,
            source: { ...appended, retention },
          })
          for (const name of Object.keys(counts) as (keyof typeof counts)[]) counts[name] += value[name]
        }
        const backfill = await backfillAll(desk, scope.tenantId, { ...filled, retention }, batches)
        expect(backfill).toMatchObject({ ...counts, status: 'completed', expired: 0 })
        await expectSame(fixture.engine, scope, filled.id, appended.id)
      }),
      { numRuns: 15 },
    )
    expect(await tables()).toEqual([])
  }, 300_000)

  test('goes on with what is not merged, wherever it was killed, and does nothing twice', async () => {
    const scope = { tenantId: randomUUID() }
    const source = newSource()
    const batches = [hourly(70), hourly(80, 1)]
    await fixture.engine.append(scope, { ...hourly(20, 2), source })
    const { value: backfill } = await desk.backfills.create(scope, source)
    // Each is killed one statement later than the one before, in the part and in the merge.
    const killedAt = (statement: number, within: { left: number }): Pause => {
      within.left = statement
      return async () => {
        if (within.left-- === 0) throw new Error('killed')
      }
    }
    let kills = 0
    for (const work of [
      ...batches.map(
        (batch, i) => (one: BackfillDesk) => one.backfills.receive(scope, backfill.id, toPart(i + 1, batch)),
      ),
      (one: BackfillDesk) => one.backfills.finish(scope, backfill.id, 2),
      (one: BackfillDesk) => mergeAll(one, scope.tenantId, backfill.id),
    ])
      for (let statement = 0, isDone = false; !isDone; statement++) {
        const within = { left: 0 }
        await using one = open(killedAt(statement, within))
        isDone = await work(one).then(
          () => true,
          (error: Error) => {
            expect(error.message).toBe('killed')
            kills++
            return false
          },
        )
      }
    expect(kills).toBeGreaterThan(40)
    const after = await desk.backfills.get(scope, backfill.id)
    // Of the first 20 days other values were there; of 70 days the second part has other values than the first.
    const perDay = 24 * 3
    expect(after).toMatchObject({
      status: 'completed',
      inserted: 60 * perDay,
      duplicates: 0,
      conflicting: 90 * perDay,
    })
    expect(after.windowsTotal).toBeGreaterThan(2)
    expect(after.windowsDone).toBe(after.windowsTotal)
    const ids = (await fixture.engine.listSeries(scope, {})).map(({ id }) => id)
    expect(await scanned(fixture.engine, scope, ids, ALWAYS)).toHaveLength(80 * perDay)
    expect(await tables()).toEqual([])
  }, 300_000)

  test('is exact beside appends, corrections and another process that merges it too', async () => {
    const scope = { tenantId: randomUUID() }
    const source = newSource()
    const { value: backfill } = await desk.backfills.create(scope, source)
    await desk.backfills.receive(scope, backfill.id, toPart(1, hourly(60)))
    await desk.backfills.receive(scope, backfill.id, toPart(2, hourly(60)))
    await desk.backfills.finish(scope, backfill.id, 2)
    await using slow = open(() => sleep(Math.random() < 0.5 ? 0 : 20))
    let inserted = 0
    const writing = Array.from({ length: 6 }, async (_, writer) => {
      for (let day = writer; day < 60; day += 6) {
        const whole = hourly(60, day % 3 === 0 ? 0 : 1)
        const [start, end] = [day * 72, day * 72 + 72]
        const batch = {
          source,
          keys: whole.keys,
          series: whole.series.slice(start, end),
          timesMs: whole.timesMs.slice(start, end),
          values: whole.values.slice(start, end),
        }
        const { value } = await fixture.engine[day % 5 === 0 ? 'correct' : 'append'](scope, batch)
        inserted += value.inserted
        await fixture.neighbour.rollUp(new Date(WORKLOAD_NOW_MS))
      }
    })
    const merging = [slow, desk].map((one) => mergeUntilDone(one, scope.tenantId, backfill.id))
    await Promise.all([...writing, ...merging])
    const after = await desk.backfills.get(scope, backfill.id)
    expect(after).toMatchObject({ status: 'completed', points: 2 * 60 * 72 })
    expect(after.inserted + inserted).toBe(60 * 72)
    expect(after.inserted + after.duplicates + after.conflicting).toBe(2 * 60 * 72)
    const series = await fixture.engine.listSeries(scope, {})
    const ids = series.map(({ id }) => id)
    const points = await scanned(fixture.engine, scope, ids, ALWAYS)
    expect(points).toHaveLength(60 * 72)
    const newest = ids.map((id) => points.findLast(({ seriesId }) => seriesId === id))
    expect((await fixture.engine.latest(scope, ids)).toSorted((a, b) => a.seriesId - b.seriesId)).toEqual(
      newest,
    )
    await expectRolledUp(fixture.engine, scope, series, points.length)
  }, 120_000)

  test('takes a part once, however often and at how many places it is sent', async () => {
    const scope = { tenantId: randomUUID() }
    const { value: backfill } = await desk.backfills.create(scope, newSource())
    const part = toPart(1, { ...hourly(2), values: hourly(2).values.with(5, 1e200) })
    const reports = await Promise.all(
      Array.from({ length: 8 }, () => desk.backfills.receive(scope, backfill.id, part)),
    )
    for (const { value } of reports) expect(value).toEqual(reports[0]!.value)
    expect(reports[0]!.value).toMatchObject({ points: 143, rejectedTotal: 1, rejected: [{ line: 6 }] })
    const other = toPart(1, hourly(2), 'changed')
    await expect(desk.backfills.receive(scope, backfill.id, other)).rejects.toMatchObject({
      code: 'conflict',
    })
    await expect(desk.backfills.finish(scope, backfill.id, 3)).rejects.toThrow(
      /2 of 3 parts are missing: 2, 3/,
    )
    await desk.backfills.receive(scope, backfill.id, toPart(3, hourly(1)))
    await expect(desk.backfills.finish(scope, backfill.id, 1)).rejects.toThrow(/Part 3 has come/)
    await desk.backfills.receive(scope, backfill.id, toPart(2, hourly(0)))
    expect((await desk.backfills.finish(scope, backfill.id, 3)).value.status).toBe('merging')
    expect((await desk.backfills.finish(scope, backfill.id, 3)).value.status).toBe('merging')
    await expect(desk.backfills.receive(scope, backfill.id, toPart(4, hourly(1)))).rejects.toMatchObject({
      code: 'conflict',
    })
    expect((await desk.backfills.receive(scope, backfill.id, part)).value).toEqual(reports[0]!.value)
    expect(await mergeAll(desk, scope.tenantId, backfill.id)).toMatchObject({
      status: 'completed',
      inserted: 144,
      duplicates: 71,
    })
    await expect(desk.backfills.cancel(scope, backfill.id)).rejects.toMatchObject({ code: 'conflict' })
  })
}

async function mergeUntilDone(desk: BackfillDesk, tenantId: string, id: string): Promise<void> {
  for (;;) {
    const { outcome } = await desk.merger.step({ tenantId }, id)
    if (outcome === 'completed' || outcome === 'ended') return
    if (outcome === 'busy') await sleep(5)
  }
}

/** That two sources have the same series, points, newest points and, before and after they are rolled up, buckets. */
async function expectSame(
  engine: MetricsEngine,
  scope: { tenantId: string },
  ...sources: [string, string]
): Promise<void> {
  const all = await Promise.all(sources.map((sourceId) => engine.listSeries(scope, { sourceId })))
  const keyed = all.map(
    (series) => new Map(series.map((one) => [JSON.stringify([one.metric, one.tags]), one])),
  )
  expect([...keyed[0]!.keys()].toSorted()).toEqual([...keyed[1]!.keys()].toSorted())
  for (const round of ['raw', 'rolled up']) {
    for (const [key, one] of keyed[0]!) {
      const other = keyed[1]!.get(key)!
      const strip = ({ id: _id, source: _source, createdAt: _at, ...rest }: Series) => rest
      expect(strip(one)).toEqual(strip(other))
      const read = async ({ id }: Series) => ({
        points: (await scanned(engine, scope, [id], ALWAYS)).map(({ seriesId: _id, ...rest }) => rest),
        latest: (await engine.latest(scope, [id])).map(({ seriesId: _id, ...rest }) => rest),
      })
      expect(await read(one), round).toEqual(await read(other))
      const buckets = async ({ id }: Series) =>
        (
          await answered(engine, scope, { series: [id], range: ALWAYS, bucket: { seconds: 86_400 * 30 } })
        ).map((bucket) => ({ ...bucket, seriesId: 0 }))
      expectSameBuckets(await buckets(one), await buckets(other))
    }
    while ((await engine.rollUp(new Date(WORKLOAD_NOW_MS))).hasMore);
  }
}

async function expectRolledUp(
  engine: MetricsEngine,
  scope: { tenantId: string },
  series: readonly Series[],
  count: number,
): Promise<void> {
  while ((await engine.rollUp(new Date(WORKLOAD_NOW_MS))).hasMore) await sleep(20)
  const ids = series.map(({ id }) => id)
  const asked = {
    series: ids,
    range: { fromMs: MONTH_AGO, toMs: WORKLOAD_NOW_MS - DAY_MS },
    bucket: { seconds: 3600 },
  }
  const { segments } = await engine.explain(scope, { ...asked, freshness: 'latest' })
  expect(segments.filter(({ reason }) => reason === 'late')).toEqual([])
  const buckets = await answered(engine, scope, { ...asked, range: ALWAYS })
  expect(buckets.reduce((sum, bucket) => sum + bucket.count, 0)).toBe(count)
}
