import { randomUUID } from 'node:crypto'
import fc from 'fast-check'
import pg from 'pg'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { PointBatch, SeriesSource } from '../../src/metrics/metrics-engine.ts'
import { CHUNK_HOURS, listChunks, missingRanges } from '../../src/metrics/timescale-chunks.ts'
import { adaptWidth, fittingHours, POINTS_PER_CHUNK } from '../../src/metrics/timescale-compression.ts'
import { newSource } from '../conformance/metrics-probe.ts'
import { WORKLOAD_NOW_MS } from '../conformance/metrics-workload.ts'
import {
  compressAll,
  isTimescaleOffered,
  makeTimescaleEngine,
  type TimescaleFixture,
} from './timescale-fixture.ts'

const HOUR_MS = 3_600_000
const DAY_MS = 24 * HOUR_MS
const isOffered = await isTimescaleOffered()

let fixture: TimescaleFixture
let admin: pg.Client

function batch(
  times: readonly number[],
  seriesCount = 1,
  source: SeriesSource = { kind: 'dataset', id: randomUUID(), retention: 'forever' },
): PointBatch {
  return {
    source,
    keys: Array.from({ length: seriesCount }, (_, i) => ({ metric: `m${i}`, tags: { host: `h${i}` } })),
    series: Uint32Array.from(times, (_, i) => i % seriesCount),
    timesMs: Float64Array.from(times),
    values: Float64Array.from(times, (_, i) => i),
  }
}

async function ask<Row extends pg.QueryResultRow>(statement: string): Promise<Row[]> {
  return (await admin.query<Row>(statement)).rows
}

async function countPoints(): Promise<number> {
  const [row] = await ask<{ count: string }>('select count(*) from metrics.timescale_points_forever')
  return Number(row!.count)
}

describe('widths of chunks', () => {
  const hours = fc.integer({ min: 0, max: 130 * 365 * 24 })

  test('leave no gap, overlap nowhere and never cut a day that another has whole, whatever was made before', () => {
    fc.assert(
      fc.property(
        fc.array(
          fc.record({
            hour: hours,
            now: hours,
            usual: fc.constantFrom(CHUNK_HOURS.narrowest, CHUNK_HOURS.quarter, CHUNK_HOURS.day),
          }),
          { minLength: 1, maxLength: 40 },
        ),
        (steps) => {
          const known: { lowerMicros: number; upperMicros: number }[] = []
          for (const { hour, now, usual } of steps) {
            const day = Math.floor(hour / 24) * DAY_MS
            known.push(...missingRanges([day], known, usual, now * HOUR_MS))
            known.sort((a, b) => a.lowerMicros - b.lowerMicros)
            expect(missingRanges([day], known, usual, now * HOUR_MS)).toEqual([])
          }
          for (const [i, { lowerMicros, upperMicros }] of known.entries()) {
            expect(lowerMicros).toBeLessThan(upperMicros)
            if (i > 0) expect(lowerMicros).toBeGreaterThanOrEqual(known[i - 1]!.upperMicros)
            const days = (upperMicros - lowerMicros) / 1000 / DAY_MS
            const isInOneDay =
              Math.floor(lowerMicros / 1000 / DAY_MS) === Math.floor((upperMicros / 1000 - 1) / DAY_MS)
            expect(
              days >= 1 ? lowerMicros % (DAY_MS * 1000) === 0 && Number.isInteger(days) : isInOneDay,
            ).toBe(true)
          }
        },
      ),
    )
  })

  test('follow the rate within bounds', () => {
    expect(fittingHours('forever', 0)).toBe(24)
    expect(fittingHours('forever', POINTS_PER_CHUNK / 24)).toBe(24)
    expect(fittingHours('forever', POINTS_PER_CHUNK / 23)).toBe(6)
    expect(fittingHours('forever', POINTS_PER_CHUNK)).toBe(6)
    expect(fittingHours('week', POINTS_PER_CHUNK / 5)).toBe(1)
  })
})

describe.skipIf(!isOffered)(
  `timescale schema${isOffered ? '' : ' (skipped: this server offers no timescaledb)'}`,
  () => {
    beforeAll(async () => {
      fixture = await makeTimescaleEngine()
      admin = new pg.Client({ connectionString: fixture.adminUrl })
      await admin.connect()
    })

    afterAll(async () => {
      await admin.end()
      await fixture[Symbol.asyncDispose]()
    })

    test('the application reaches points, roll-ups and their chunks through the engine only', async () => {
      const scope = { tenantId: randomUUID() }
      await fixture.engine.append(scope, batch([WORKLOAD_NOW_MS - 30 * DAY_MS]))
      await fixture.engine.rollUp(new Date(WORKLOAD_NOW_MS))
      await compressAll(fixture.database)
      const relations = await ask<{ name: string; allowed: boolean }>(
        `select format('%I.%I', n.nspname, c.relname) as name,
           has_table_privilege('nomaly_app', c.oid, 'select, insert, update, delete, truncate, references, trigger') as allowed
         from pg_class c join pg_namespace n on n.oid = c.relnamespace
         where n.nspname in ('metrics', '_timescaledb_internal') and c.relkind in ('r', 'v')
           and (c.relname like 'timescale\\_%' or c.relname ~ '^(_hyper|compress_hyper|_materialized|_compressed)')`,
      )
      const names = relations.map(({ name }) => name)
      expect(names.filter((name) => name.endsWith('_chunk')).length).toBeGreaterThan(2)
      expect(names).toEqual(
        expect.arrayContaining(['metrics.timescale_hourly_week', 'metrics.timescale_late_week']),
      )
      expect(relations.filter(({ allowed }) => allowed).map(({ name }) => name)).toEqual([
        'metrics.timescale_gate',
      ])
      const run = (statement: string) =>
        fixture.database.transaction({ role: 'nomaly_app', scope }, (c) => c.query(statement))
      await expect(run('select from metrics.timescale_points_forever')).rejects.toMatchObject({
        code: '42501',
      })
      await expect(run('delete from metrics.timescale_gate')).rejects.toMatchObject({ code: '42501' })
      await expect(
        run(`select public.drop_chunks('metrics.timescale_points_forever', older_than => now())`),
      ).rejects.toThrow(/owner/)
    })

    test('points from all of time make a bounded number of chunks', async () => {
      const everyMonth = Array.from({ length: 130 * 12 }, (_, month) =>
        Date.UTC(1970, month, 1 + (month % 28)),
      )
      const { value } = await fixture.engine.append({ tenantId: randomUUID() }, batch(everyMonth, 3))
      expect(value.inserted).toBe(everyMonth.length)
      const options = { role: 'nomaly_system', freshness: 'latest' } as const
      const chunks = await fixture.database.read(options, (connection) => listChunks(connection, 'forever'))
      expect(chunks.length).toBeLessThan(200)
    })

    test('no chunk is packed under a reader, and what it reads stays whole', async () => {
      const scope = { tenantId: randomUUID() }
      const one = batch(Array.from({ length: 2_000 }, (_, i) => WORKLOAD_NOW_MS - 3 * DAY_MS - i * 1000))
      await fixture.engine.append(scope, one)
      await compressAll(fixture.database)
      // A late point: the chunk is compressed in part only, and will be again.
      await fixture.engine.append(scope, batch([WORKLOAD_NOW_MS - 3 * DAY_MS - 500], 1, one.source))
      const [series] = await fixture.engine.listSeries(scope, { sourceId: one.source.id })
      const reading = { role: 'nomaly_system', freshness: 'latest' } as const
      const seen = await fixture.database.read(reading, async (connection) => {
        await connection.query('lock table metrics.timescale_gate in access share mode')
        await connection.query('select')
        expect(await compressAll(fixture.database)).toBe(0)
        return connection.query(
          `select from metrics.timescale_points_forever where series_id = ${series!.id}`,
        )
      })
      expect(seen).toHaveLength(2_001)
      expect(await compressAll(fixture.database)).toBeGreaterThan(0)
      const tail = await fixture.engine.tail(scope, series!.id, { fromMs: 0, toMs: Infinity }, 5_000)
      expect(tail.timesMs).toHaveLength(2_001)
    })

    test('more points of a compressed chunk can be corrected, and removed, than TimescaleDB unpacks by itself', async () => {
      const scope = { tenantId: randomUUID() }
      const day = WORKLOAD_NOW_MS - 5 * DAY_MS - (WORKLOAD_NOW_MS % DAY_MS)
      const many = batch(
        Array.from({ length: 120_000 }, (_, i) => day + i * 500),
        3,
      )
      const before = await countPoints()
      await fixture.engine.append(scope, many)
      expect(await compressAll(fixture.database)).toBeGreaterThan(0)
      const changed = { ...many, values: many.values.map((value) => value + 1) }
      expect((await fixture.engine.append(scope, changed)).value).toMatchObject({ conflicting: 120_000 })
      expect((await fixture.engine.append(scope, many)).value).toMatchObject({ duplicates: 120_000 })
      expect((await fixture.engine.correct(scope, changed)).value).toMatchObject({ changed: 120_000 })
      expect((await fixture.engine.correct(scope, changed)).value).toMatchObject({ unchanged: 120_000 })
      await compressAll(fixture.database)
      await fixture.engine.rollUp(new Date(WORKLOAD_NOW_MS))
      const ids = (await fixture.engine.listSeries(scope, {})).map(({ id }) => id)
      const rolledUp = () =>
        ask(
          `select from metrics.timescale_hourly_forever where series_id in (${ids.join()})
           union all select from metrics.timescale_daily_forever where series_id in (${ids.join()})`,
        )
      expect(await rolledUp()).toHaveLength(3 * 17 + 3)
      expect(await fixture.engine.dropSource(scope, many.source.id)).toBe(3)
      expect(await countPoints()).toBe(before)
      expect(await rolledUp()).toEqual([])
    }, 120_000)

    test('the first who writes into a compressed chunk holds up nobody, also where both know it from before', async () => {
      const scope = { tenantId: randomUUID() }
      const [own, others] = [newSource(), newSource()]
      const startMs = WORKLOAD_NOW_MS - (WORKLOAD_NOW_MS % DAY_MS) - 90 * DAY_MS
      const write = (
        engine: Pick<typeof fixture.engine, 'append' | 'correct'>,
        how: 'append' | 'correct',
        source: SeriesSource,
        ...times: number[]
      ) => engine[how](scope, batch(times, 1, source))
      const [reached, released] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()]
      let isSlow = false
      let hasWritten = false
      const slow = fixture.pausing(async (statement) => {
        hasWritten ||= isSlow && statement.includes('latest_points')
        if (statement !== 'commit' || !hasWritten) return
        reached.resolve()
        await released.promise
      })
      for (const [n, engine] of [fixture.engine, fixture.neighbour, slow].entries())
        await write(engine, 'append', own, startMs + n)
      expect(await compressAll(fixture.database)).toBeGreaterThan(0)
      isSlow = true
      const writing = write(slow, 'append', own, startMs + 10)
      await reached.promise
      // Would wait until the other one commits, which it does not.
      expect((await write(fixture.engine, 'append', others, startMs + 11)).value.inserted).toBe(1)
      expect(
        (await write(fixture.neighbour, 'correct', others, startMs + 12, startMs + 11)).value,
      ).toMatchObject({
        changed: 1,
        inserted: 1,
      })
      released.resolve()
      expect((await writing).value.inserted).toBe(1)
      const [row] = await ask<{ strange: number }>(
        'select count(*)::int4 as strange from metrics.timescale_points_forever where series_id = 0',
      )
      expect(row!.strange).toBe(0)
    })

    test('a chunk in use is left for the next time', async () => {
      const source = { kind: 'dataset', id: randomUUID(), retention: 'month' } as const
      await fixture.engine.append({ tenantId: randomUUID() }, batch([WORKLOAD_NOW_MS], 1, source))
      const later = new Date(WORKLOAD_NOW_MS + 60 * DAY_MS)
      await admin.query('begin; select from metrics.timescale_points_month')
      expect((await fixture.engine.maintain(later)).partitionsDropped).toBe(0)
      await admin.query('commit')
      expect((await fixture.engine.maintain(later)).partitionsDropped).toBe(1)
    })

    test('chunks to come get wider again where few points come', async () => {
      await fixture.engine.append({ tenantId: randomUUID() }, batch([WORKLOAD_NOW_MS - 2 * DAY_MS]))
      expect(await adaptWidth(fixture.database, 'forever', WORKLOAD_NOW_MS)).toBeUndefined()
      await admin.query(
        `select set_chunk_time_interval('metrics.timescale_points_forever', interval '6 hours')`,
      )
      expect(await adaptWidth(fixture.database, 'forever', WORKLOAD_NOW_MS)).toBe(24)
    })

    test('what failed of jobs that somebody has put on the tables is run and reported', async () => {
      // Jobs run as the owner of the table, and that one cannot log in: an administrator would have to let it.
      await admin.query('alter role nomaly_system login; set role nomaly_system')
      const [{ id }] = (await ask<{ id: number }>(
        `select add_retention_policy('metrics.timescale_points_year', interval '100 years') as id`,
      )) as [{ id: number }]
      await ask(`select alter_job(${id}, scheduled => false)`)
      await admin.query('reset role')
      expect((await fixture.engine.maintain(new Date(WORKLOAD_NOW_MS))).problems).toEqual([])
      await ask(`delete from _timescaledb_internal.bgw_job_stat where job_id = ${id}`)
      await ask(
        `insert into _timescaledb_internal.bgw_job_stat select ${id}, now(), now(), now(), now(), false, 3, interval '1 s',
           interval '1 s', 0, 3, 0, 3, 0, 0`,
      )
      const { problems } = await fixture.engine.maintain(new Date(WORKLOAD_NOW_MS))
      await admin.query('alter role nomaly_system nologin')
      expect(problems).toEqual([
        expect.stringMatching(/Retention Policy \[\d+\] has failed 3 times.*run in its place\.$/),
      ])
    })
  },
)
