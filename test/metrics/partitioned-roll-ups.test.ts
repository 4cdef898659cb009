import { randomUUID } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { answered, newSource } from '../conformance/metrics-probe.ts'
import { WORKLOAD_NOW_MS } from '../conformance/metrics-workload.ts'
import { makePartitionedEngine, type PartitionedFixture } from './partitioned-fixture.ts'

const HOUR_MS = 3_600_000
const DAY_MS = 24 * HOUR_MS

let fixture: PartitionedFixture

beforeAll(async () => {
  fixture = await makePartitionedEngine()
})
afterAll(() => fixture?.[Symbol.asyncDispose]())

test('of two that compute hours of one day at once neither writes over what the other found', async () => {
  const { engine, neighbour } = fixture
  const [scope, source] = [{ tenantId: randomUUID() }, newSource()]
  const day = { fromMs: WORKLOAD_NOW_MS - 36 * HOUR_MS, toMs: WORKLOAD_NOW_MS - 12 * HOUR_MS }
  const write = (hour: number) =>
    engine.append(scope, {
      source,
      keys: [{ metric: 'm', tags: {} }],
      series: new Uint32Array(1),
      timesMs: Float64Array.of(day.fromMs + hour * HOUR_MS),
      values: Float64Array.of(hour),
    })
  await write(0)
  await engine.rollUp(new Date(WORKLOAD_NOW_MS))
  await write(1)
  const [computed, released] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()]
  let hasComputed = false
  const slow = fixture.pausing(async (statement) => {
    hasComputed ||= statement.includes('insert into metrics.daily_')
    if (statement !== 'commit' || !hasComputed) return
    computed.resolve()
    await released.promise
  })
  const first = slow.rollUp(new Date(WORKLOAD_NOW_MS))
  await computed.promise
  await write(2)
  // It leaves the class to the first, and does not wait either.
  const second = await Promise.race([neighbour.rollUp(new Date(WORKLOAD_NOW_MS)), sleep(5_000)])
  released.resolve()
  await first
  expect(second).toEqual({ hoursRefreshed: 0, hasMore: true })
  while ((await engine.rollUp(new Date(WORKLOAD_NOW_MS))).hasMore) await sleep(10)
  const { id } = (await engine.listSeries(scope, {}))[0]!
  const asked = { series: [id], range: day, bucket: { seconds: DAY_MS / 1000 } }
  const { segments } = await engine.explain(scope, { ...asked, freshness: 'latest' })
  expect(segments.map((one) => one.source)).toEqual(['daily'])
  expect(await answered(engine, scope, asked)).toMatchObject([{ count: 3, sum: 3, last: 2 }])
})
