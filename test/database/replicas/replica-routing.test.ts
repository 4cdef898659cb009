import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import type { Database } from '../../../src/database/database.ts'
import { parsePosition } from '../../../src/database/position.ts'
import { eventually } from '../../support/nomaly.ts'
import { increment, look, SYSTEM, untilInRotation, useReplicas } from './replica-fixture.ts'

const fixture = useReplicas(2)
let database: Database

beforeEach(async () => {
  database = fixture.open()
  await untilInRotation(database, 2)
})
afterEach(() => database[Symbol.asyncDispose]())

describe('where reads are made', () => {
  test('the latest on the primary, those after a position and with a bound on standbys, evenly', async () => {
    const { value, position } = await increment(database, 1)
    expect(await look(database, 1, 'latest')).toMatchObject({ value, onStandby: false })
    const ports = new Map<number, number>()
    for (let round = 0; round < 40; round++) {
      const seen = await look(database, 1, { after: position })
      expect(seen).toMatchObject({ value, onStandby: true })
      ports.set(seen.port, (ports.get(seen.port) ?? 0) + 1)
    }
    // They take turns, but for those that only one had caught up for.
    expect(Math.min(...ports.values())).toBeGreaterThan(15)
    expect(await look(database, 1, { maxLagMs: 2_000 })).toMatchObject({ onStandby: true })
    expect(await look(database, 1, { maxLagMs: 0 })).toMatchObject({ onStandby: false })
  })

  test('a position of another timeline or server is read on the primary', async () => {
    const { position } = await increment(database, 2)
    for (const other of [
      { ...position, timeline: position.timeline + 1 },
      { ...position, systemId: '7' },
    ])
      expect(await look(database, 2, { after: other })).toMatchObject({ onStandby: false })
  })

  test('a bound holds on an idle server, whatever its clock says', async () => {
    await fixture.ask('select pg_switch_wal()')
    const position = await database.position()
    await eventually(async () => (await look(database, 3, { after: position })).onStandby)
    await new Promise((resolve) => setTimeout(resolve, 1_500))
    expect(await look(database, 3, { maxLagMs: 500 })).toMatchObject({ onStandby: true })
    expect(database.replicas!.report.map(({ lagMs }) => lagMs)).toEqual([0, 0])
  })

  test('what is read on a standby is one snapshot, and cannot write', async () => {
    const { position } = await increment(database, 4)
    await expect(
      database.read({ ...SYSTEM, freshness: { after: position } }, (connection) =>
        connection.query('update nomaly.counters set value = 0 where id = 4'),
      ),
    ).rejects.toMatchObject({ cause: { code: '25006' } })
  })
})

describe('a standby that does not get there', () => {
  test('is waited for as long as is set, and then the primary is read', async () => {
    const [first, second] = fixture.replicas
    await first!.pause()
    await second!.pause()
    try {
      const { value, position } = await increment(database, 5)
      const startedAt = performance.now()
      expect(await look(database, 5, { after: position })).toEqual({
        value,
        onStandby: false,
        port: fixture.primary.port,
      })
      expect(performance.now() - startedAt).toBeGreaterThan(190)
      expect(database.replicas!.counts.waitedInVain).toBe(1)
    } finally {
      await first!.resume()
      await second!.resume()
    }
  })

  test('a read that waits is made on the standby as soon as that has caught up', async () => {
    await database[Symbol.asyncDispose]()
    database = fixture.open({ waitMs: 10_000 })
    await untilInRotation(database, 2)
    for (const replica of fixture.replicas) await replica.pause()
    const { value, position } = await increment(database, 6)
    const reading = look(database, 6, { after: position })
    await new Promise((resolve) => setTimeout(resolve, 300))
    for (const replica of fixture.replicas) await replica.resume()
    expect(await reading).toMatchObject({ value, onStandby: true })
  })

  test('one that lags leaves, its reads are made on the other, and it comes back by itself', async () => {
    await database[Symbol.asyncDispose]()
    database = fixture.open({ maxLagMs: 500 })
    await untilInRotation(database, 2)
    const [first, second] = fixture.replicas
    await first!.pause()
    try {
      await increment(database, 7)
      await untilInRotation(database, 1)
      const [out] = database.replicas!.report.filter(({ isInRotation }) => !isInRotation)
      expect(out).toMatchObject({ name: `127.0.0.1:${first!.port}`, absence: 'lagging' })
      for (let round = 0; round < 5; round++) {
        const { value, position } = await increment(database, 7)
        expect(await look(database, 7, { after: position })).toEqual({
          value,
          onStandby: true,
          port: second!.port,
        })
      }
    } finally {
      await first!.resume()
    }
    await untilInRotation(database, 2)
  })

  test('one that is killed leaves at once and fails nobody, and comes back by itself', async () => {
    const [first] = fixture.replicas
    const { value, position } = await increment(database, 8)
    let isOver = false
    const readers = Array.from({ length: 8 }, async () => {
      while (!isOver) expect((await look(database, 8, { after: position })).value).toBe(value)
    })
    await first!.kill()
    await untilInRotation(database, 1)
    await first!.launch()
    await untilInRotation(database, 2)
    isOver = true
    await Promise.all(readers)
  })

  test('one that is frozen does not hold reads for good', async () => {
    const [first] = fixture.replicas
    const { value, position } = await increment(database, 9)
    const lookAgain = () => look(database, 9, { after: position })
    // It takes its share of reads, of which some are then under way on it.
    await eventually(async () =>
      (await Promise.all(Array.from({ length: 4 }, lookAgain))).some((one) => one.port === first!.port),
    )
    await first!.freeze()
    try {
      const seen = await Promise.all(Array.from({ length: 10 }, lookAgain))
      expect(seen.map((one) => one.value)).toEqual(Array(10).fill(value))
      expect(database.replicas!.counts.failed).toBeGreaterThan(0)
      await untilInRotation(database, 1)
    } finally {
      await first!.thaw()
    }
    await untilInRotation(database, 2)
  })
})

test('what this process relies on a standby must have replayed to be asked at all', async () => {
  const [first] = fixture.replicas
  await first!.pause()
  try {
    await increment(database, 13)
    database.replicas!.require(await database.position())
    const [paused] = database.replicas!.report
    expect(paused).toMatchObject({ isInRotation: false, absence: 'behind' })
    for (let round = 0; round < 10; round++)
      expect((await look(database, 13, { maxLagMs: 60_000 })).port).not.toBe(first!.port)
  } finally {
    await first!.resume()
  }
  await untilInRotation(database, 2)
})

test('reads that a standby cancels for what it replays are answered by the primary', async () => {
  for (const replica of fixture.replicas)
    await replica
      .ask(`alter system set max_standby_streaming_delay = '10ms'`)
      .then(() => replica.ask('select pg_reload_conf()'))
  const { position } = await increment(database, 10)
  let runs = 0
  const reading = database.read({ ...SYSTEM, freshness: { after: position } }, async (connection) => {
    runs++
    await connection.query('select count(*) from nomaly.counters')
    const [row] = await connection.query<{ onStandby: boolean }>(
      'select pg_is_in_recovery() as "onStandby", pg_sleep(case when pg_is_in_recovery() then 10 else 0 end)',
    )
    return row!.onStandby
  })
  await eventually(async () => runs === 1)
  await fixture.ask('alter table nomaly.counters add column spare integer')
  expect(await reading).toBe(false)
  expect(runs).toBe(2)
  expect(database.replicas!.counts.failed).toBe(1)
})

test('what has handed out parts of its answer is not made anew', async () => {
  const { position } = await increment(database, 11)
  let runs = 0
  const reading = database.read(
    { ...SYSTEM, freshness: { after: position }, isAnswered: () => true },
    async (connection) => {
      runs++
      const [row] = await connection.query<{ pid: number; port: number }>(
        `select pg_backend_pid() as pid, current_setting('port')::integer as port`,
      )
      const replica = fixture.replicas.find(({ port }) => port === row!.port)!
      await replica.ask(`select pg_terminate_backend(${row!.pid})`)
      await connection.query('select 1')
    },
  )
  await expect(reading).rejects.toMatchObject({ code: 'unavailable' })
  expect(runs).toBe(1)
})

test('a position in its text form leads to the same place', async () => {
  const { value } = await increment(database, 12)
  const { systemId, timeline, lsn } = await database.position()
  const position = parsePosition(`${systemId}.${timeline}.${lsn}`)!
  expect(await look(database, 12, { after: position })).toMatchObject({ value })
})
