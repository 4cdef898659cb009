import { randomUUID } from 'node:crypto'
import pg from 'pg'
import { describe, expect, test } from 'vitest'
import { describeBackfills } from '../conformance/metrics-backfill.ts'
import { DAY_MS } from '../conformance/metrics-probe.ts'
import { WORKLOAD_NOW_MS } from '../conformance/metrics-workload.ts'
import { backfillAll, openDesk } from './backfill-desk.ts'
import { makePartitionedEngine } from './partitioned-fixture.ts'
import { isTimescaleOffered, makeTimescaleEngine } from './timescale-fixture.ts'

/** As `nomaly metrics` leaves it: the database says that it is this engine which keeps the points. */
async function makeChosenTimescale(options: { compressing?: boolean } = {}) {
  const fixture = await makeTimescaleEngine(options)
  const client = new pg.Client({ connectionString: fixture.adminUrl })
  await client.connect()
  await client.query(
    `insert into metrics.engine (name) values ('timescale') on conflict (only_row) do update set name = excluded.name`,
  )
  await client.end()
  return fixture
}

describe('backfills into partitions', () => {
  describeBackfills(makePartitionedEngine)

  test('are noted for a move that has copied their time already', async () => {
    await using fixture = await makePartitionedEngine()
    await using desk = openDesk({
      adminUrl: fixture.adminUrl,
      engine: 'partitioned',
      clock: () => WORKLOAD_NOW_MS,
    })
    const today = Math.floor(WORKLOAD_NOW_MS / DAY_MS) * DAY_MS
    const batch = {
      keys: [{ metric: 'm', tags: {} }],
      series: new Uint32Array(6),
      timesMs: Float64Array.from({ length: 6 }, (_, i) => today - (6 - i) * DAY_MS),
      values: new Float64Array(6),
    }
    const client = new pg.Client({ connectionString: fixture.adminUrl })
    await client.connect()
    await client.query(
      `insert into metrics.engine (name, moving_to, moving_until) values ('partitioned', 'timescale', $1)
       on conflict (only_row) do update set moving_to = excluded.moving_to, moving_until = excluded.moving_until`,
      [new Date(today - 2 * DAY_MS).toISOString()],
    )
    const source = { kind: 'dataset', id: randomUUID(), retention: 'forever' } as const
    expect(await backfillAll(desk, randomUUID(), source, [batch])).toMatchObject({ inserted: 6 })
    const { rows } = await client.query('select day, retention from metrics.move_journal order by day')
    await client.end()
    expect(rows.map(({ day }) => day.getTime())).toEqual([6, 5, 4, 3].map((ago) => today - ago * DAY_MS))
    expect(rows[0].retention).toBe('forever')
  })
})

describe('backfills into hypertables', async () => {
  if (!(await isTimescaleOffered())) {
    test.skip('skipped: this server offers no timescaledb', () => {})
    return
  }
  describeBackfills(() => makeChosenTimescale())

  describe('that are compressed', () => {
    describeBackfills(() => makeChosenTimescale({ compressing: true }))
  })

  test('compresses what is merged, and nothing of now', async () => {
    await using fixture = await makeChosenTimescale()
    const clock = () => WORKLOAD_NOW_MS
    await using desk = openDesk({ adminUrl: fixture.adminUrl, engine: 'timescale', clock })
    const count = 40_000
    const today = Math.floor(WORKLOAD_NOW_MS / DAY_MS) * DAY_MS
    const batch = {
      keys: [{ metric: 'm', tags: {} }],
      series: new Uint32Array(count),
      timesMs: Float64Array.from({ length: count }, (_, i) => today - 3 * DAY_MS + (i * 4 * DAY_MS) / count),
      values: Float64Array.from({ length: count }, (_, i) => i % 50),
    }
    const source = { kind: 'dataset', id: randomUUID(), retention: 'forever' } as const
    const backfill = await backfillAll(desk, randomUUID(), source, [batch])
    expect(backfill).toMatchObject({ status: 'completed', inserted: count })
    const client = new pg.Client({ connectionString: fixture.adminUrl })
    await client.connect()
    const { rows } = await client.query(
      `select is_compressed from timescaledb_information.chunks where hypertable_name = 'timescale_points_forever' order by range_start`,
    )
    await client.end()
    expect(rows.map(({ is_compressed: isCompressed }) => isCompressed)).toEqual([true, true, true, false])
  })
})
