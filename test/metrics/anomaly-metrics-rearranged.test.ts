import { randomUUID } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import type pg from 'pg'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { moveMetrics } from '../../src/operations/move/move-metrics.ts'
import { openMoveSides } from '../../src/store/open-store.ts'
import { startTestNomaly, type TestNomaly } from '../support/nomaly.ts'
import { INSERT, makeSqlLogins, type SqlLogins } from './sql-logins-fixture.ts'
import { compressAll, isTimescaleOffered } from './timescale-fixture.ts'

const HOUR_MS = 3_600_000
const OLD_MS = Math.floor(Date.now() / HOUR_MS) * HOUR_MS - 30 * HOUR_MS
const insertOf = (time: Date, job: string, value: number): [string, unknown[]] => [
  INSERT,
  [time, job, 'm', value, null],
]
const COUNT = 'select count(*)::int4 as count from anomaly_metrics where job_id = $1'

const isOffered = await isTimescaleOffered()
const suffix = isOffered ? '' : ' (skipped: this server offers no timescaledb)'

let nomaly: TestNomaly
let admin: pg.Client
let sql: SqlLogins

const logIn = (): Promise<pg.Client> => sql.logIn(nomaly.tenant.tenantId)

async function count(client: pg.Client, job: string, name?: string): Promise<number> {
  const { rows } = await client.query({
    text: COUNT,
    values: [job],
    ...(name === undefined ? {} : { name }),
  })
  return rows[0].count
}

/** The switch itself may fall between the snapshot of a statement and its first look, and then says so. */
async function countAtSwitch(client: pg.Client, job: string): Promise<number> {
  try {
    return await count(client, job, 'count')
  } catch (error) {
    if ((error as pg.DatabaseError).code !== '40001') throw error
    return count(client, job, 'count')
  }
}

describe.skipIf(!isOffered)(`anomaly_metrics while points change their place${suffix}`, () => {
  beforeAll(async () => {
    nomaly = await startTestNomaly({ worker: false, config: { metricsEngine: 'timescale' } })
    sql = await makeSqlLogins(nomaly)
    admin = sql.admin
    await logIn()
    await nomaly.store.metrics.maintain(new Date())
  })

  afterAll(async () => {
    await sql[Symbol.asyncDispose]()
    await nomaly[Symbol.asyncDispose]()
  })

  test('there is room around now from the first maintenance on', async () => {
    const mine = await logIn()
    for (const days of [-2, -1, 0, 1, 2]) {
      const time = new Date(Date.now() + days * 24 * HOUR_MS)
      await mine.query(...insertOf(time, randomUUID(), 1))
    }
    await expect(mine.query(...insertOf(new Date('1999-01-01Z'), randomUUID(), 1))).rejects.toMatchObject({
      code: '55000',
    })
  })

  test('single statements see every point that was acknowledged, whatever is compressed meanwhile', async () => {
    const job = randomUUID()
    const [writer, plain, prepared] = [await logIn(), await logIn(), await logIn()]
    let stored = 0
    let compressed = 0
    let isWriting = true
    const insert = async (): Promise<void> => {
      await writer.query(...insertOf(new Date(OLD_MS + stored), job, stored))
      stored++
    }
    await insert()
    const compressing = async (): Promise<void> => {
      while (isWriting) compressed += await compressAll(nomaly.store.database)
    }
    const reading = async (client: pg.Client, name?: string): Promise<void> => {
      while (isWriting) {
        const before = stored
        const seen = await count(client, job, name)
        expect(seen).toBeGreaterThanOrEqual(before)
        expect(seen).toBeLessThanOrEqual(stored + 1)
        // Who compresses a chunk gives way to those who read it: always at it, they would keep it from being compressed.
        await sleep(30)
      }
    }
    const writing = async (): Promise<void> => {
      try {
        while (compressed < 4) await insert()
      } finally {
        isWriting = false
      }
    }
    await Promise.all([writing(), compressing(), reading(plain), reading(prepared, 'count')])
    expect(await count(plain, job)).toBe(stored)
    const { rows } = await plain.query(
      'select metric_value from anomaly_metrics where job_id = $1 order by 1',
      [job],
    )
    expect(rows.map((row) => row.metric_value)).toEqual(Array.from({ length: stored }, (_, i) => i))
  }, 120_000)

  test('follows a move there and back, while it is written and read; an old snapshot fails instead of seeing less', async () => {
    const job = randomUUID()
    const { store } = nomaly
    const [writer, reader, old] = [await logIn(), await logIn(), await logIn()]
    let stored = 0
    const insert = async (): Promise<void> => {
      await writer.query(...insertOf(new Date(OLD_MS + (stored % 7) * HOUR_MS + stored), job, stored))
      stored++
    }
    for (let i = 0; i < 20; i++) await insert()
    for (const to of ['partitioned', 'timescale'] as const) {
      let isMoving = true
      await old.query('begin isolation level repeatable read; select 1')
      const writing = async (): Promise<void> => {
        while (isMoving) await insert()
      }
      const reading = async (): Promise<void> => {
        while (isMoving) {
          const before = stored
          const seen = await countAtSwitch(reader, job)
          expect(seen).toBeGreaterThanOrEqual(before)
          expect(seen).toBeLessThanOrEqual(stored + 1)
        }
      }
      const moving = async (): Promise<void> => {
        try {
          const report = await moveMetrics({
            database: store.database,
            sides: openMoveSides(store.database, Date.now),
            to,
            clock: Date.now,
            signal: new AbortController().signal,
          })
          expect(report).toMatchObject({ hasMoved: true, isCleared: true })
        } finally {
          isMoving = false
        }
      }
      await Promise.all([moving(), writing(), reading()])
      expect((await admin.query('select name from metrics.engine')).rows).toEqual([{ name: to }])
      await expect(count(old, job)).rejects.toMatchObject({ code: '40001' })
      await old.query('rollback')
      expect(await count(old, job)).toBe(stored)
      await insert()
      expect(await count(reader, job, 'count')).toBe(stored)
    }
    const { rows } = await reader.query(
      'select metric_value from anomaly_metrics where job_id = $1 order by 1',
      [job],
    )
    expect(rows.map((row) => row.metric_value)).toEqual(Array.from({ length: stored }, (_, i) => i))
  }, 120_000)

  test('a transaction that began before a move was announced cannot slip a point past its journal', async () => {
    const writer = await logIn()
    const job = randomUUID()
    await writer.query('begin isolation level repeatable read; select 1')
    await admin.query(
      "update metrics.engine set moving_to = 'partitioned', moving_until = '2100-01-02Z' where name = 'timescale'",
    )
    try {
      await expect(writer.query(...insertOf(new Date(OLD_MS), job, 1))).rejects.toMatchObject({
        code: '40001',
      })
      await writer.query('rollback')
      await writer.query(...insertOf(new Date(OLD_MS), job, 1))
      const journal = await admin.query(
        `select j.retention from metrics.move_journal j join metrics.series s on s.id = j.series_id where s.source_id = $1`,
        [job],
      )
      expect(journal.rows).toEqual([{ retention: 'forever' }])
    } finally {
      await admin.query('update metrics.engine set moving_to = null, moving_until = null')
      await admin.query('truncate metrics.move_journal')
    }
  })

  test('what was noted on another server, whose copy this is, does not keep anybody from reading', async () => {
    const reader = await logIn()
    const before = await admin.query('select last_value from metrics.timescale_compressed')
    await admin.query("select setval('metrics.timescale_compressed', 9000000000000000)")
    try {
      expect(await count(reader, randomUUID())).toBe(0)
    } finally {
      await admin.query(`select setval('metrics.timescale_compressed', ${before.rows[0].last_value})`)
    }
  })
})
