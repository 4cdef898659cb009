import { randomUUID } from 'node:crypto'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { withPurpose } from '../../src/database/purpose.ts'
import { takeTurn } from '../../src/metrics/lock-room.ts'
import { METRICS_RELATIONS, type MetricsRelations } from '../../src/metrics/metrics-relations.ts'
import { microsRange } from '../../src/metrics/micros-range.ts'
import { TIMESCALE_RELATIONS } from '../../src/metrics/timescale-relations.ts'
import { ALWAYS, DAY_MS, newSource, pair } from '../conformance/metrics-probe.ts'
import { WORKLOAD_NOW_MS } from '../conformance/metrics-workload.ts'
import { makePartitionedEngine } from './partitioned-fixture.ts'
import { isTimescaleOffered, makeTimescaleEngine } from './timescale-fixture.ts'

const EVERYTHING = { retention: 'forever', ...microsRange(ALWAYS) } as const
const READING = { role: 'nomaly_system', freshness: 'latest' } as const

describe.each([
  { engine: 'partitioned', relations: METRICS_RELATIONS, make: makePartitionedEngine, isOffered: true },
  {
    engine: 'timescale',
    relations: TIMESCALE_RELATIONS,
    make: makeTimescaleEngine,
    isOffered: await isTimescaleOffered(),
  },
])('room in the lock table, $engine', ({ relations, make, isOffered }) => {
  let fixture: Awaited<ReturnType<typeof make>>
  /** Of the two years apart that are written. */
  const tables = 2

  beforeAll(async () => {
    if (!isOffered) return
    fixture = await make()
    const times = pair(newSource(), WORKLOAD_NOW_MS - 700 * DAY_MS, WORKLOAD_NOW_MS)
    await fixture.engine.append({ tenantId: randomUUID() }, times)
  })
  afterAll(async () => fixture?.[Symbol.asyncDispose]())

  /** As if each table took this part of the lock table. */
  async function asking(part: number): Promise<MetricsRelations> {
    return fixture.database.read(READING, async (connection) => {
      const [row] = await connection.query<{ room: number }>(
        `select current_setting('max_locks_per_transaction')::int4 * (current_setting('max_connections')::int4
           + current_setting('max_prepared_transactions')::int4) as room`,
      )
      return { ...relations, locksPerTable: row!.room * part }
    })
  }

  test.runIf(isOffered)('what would fill it is refused, and told what to do', async () => {
    const greedy = await asking(0.4)
    const reading = fixture.database.read(READING, (connection) => takeTurn(connection, greedy, [EVERYTHING]))
    await expect(reading).rejects.toMatchObject({
      code: 'too_large',
      message: expect.stringContaining(`${tables} parts of storage`),
      hint: expect.stringContaining('shorter time range'),
    })
  })

  test.runIf(isOffered)('reads of much of it take turns, and hold up nobody else', async () => {
    const [wide, narrow] = [await asking(0.2), await asking(0.01)]
    const order: string[] = []
    const started = Promise.withResolvers<void>()
    const released = Promise.withResolvers<void>()
    const first = fixture.database.read(READING, async (connection) => {
      await takeTurn(connection, wide, [EVERYTHING])
      started.resolve()
      await released.promise
      order.push('first')
    })
    await started.promise
    const second = fixture.database.read(READING, async (connection) => {
      await takeTurn(connection, wide, [EVERYTHING])
      order.push('second')
    })
    const month = { ...EVERYTHING, fromMicros: EVERYTHING.toMicros - 30 * DAY_MS * 1000 }
    for (const [relationsOfOther, reads] of [
      [narrow, [EVERYTHING]],
      [wide, [month]],
    ] as const)
      // The few connections of the test's pool are shared out, and those of requests are taken.
      await withPurpose({ budget: 'work', label: 'test' }, () =>
        fixture.database.read(READING, (connection) => takeTurn(connection, relationsOfOther, reads)),
      )
    order.push('others')
    released.resolve()
    await Promise.all([first, second])
    expect(order).toEqual(['others', 'first', 'second'])
  })
})
