import { randomUUID } from 'node:crypto'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { from as copyFrom } from 'pg-copy-streams'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { MetricBucket } from '../../src/metrics/metric-query.ts'
import { POINT_LIMITS } from '../../src/metrics/metrics-engine.ts'
import type { TestNomaly, TestTenant } from '../support/nomaly.ts'
import { ENGINES, INSERT, type SqlLogins, startSqlNomaly } from './sql-logins-fixture.ts'
import { isTimescaleOffered } from './timescale-fixture.ts'

const HOUR_MS = 3_600_000
const JOB = randomUUID()
const NOW = Math.floor(Date.now() / HOUR_MS) * HOUR_MS
const isOffered = await isTimescaleOffered()

let nomaly: TestNomaly
let beta: TestTenant
let sql: SqlLogins

const at = (offsetMs: number): Date => new Date(NOW + offsetMs)

describe.each(ENGINES)('anomaly_metrics in %s', (engine) => {
  if (engine === 'timescale' && !isOffered) return test.skip('this server offers no timescaledb', () => {})

  beforeAll(async () => {
    ;({ nomaly, sql } = await startSqlNomaly(engine))
    beta = await nomaly.createTenant('beta')
  })

  afterAll(async () => {
    await sql[Symbol.asyncDispose]()
    await nomaly[Symbol.asyncDispose]()
  })

  test('inserts and selects run as they are written, and each login has the rows of its tenant', async () => {
    const [mine, theirs] = [await sql.logIn(nomaly.tenant.tenantId), await sql.logIn(beta.tenantId)]
    for (let i = 0; i < 4; i++)
      await mine.query(INSERT, [at(-i * 30 * 60_000), JOB, 'anomaly_score', i, { host: 'web-1', rank: 1 }])
    await theirs.query(INSERT, [at(0), JOB, 'anomaly_score', 99, null])
    const all = await mine.query(
      `select * from anomaly_metrics where metric_name <> 'makes room' order by time desc`,
    )
    expect(all.rows.map((row) => row.metric_value)).toEqual([0, 1, 2, 3])
    expect(all.rows[0]).toEqual({
      time: at(0),
      job_id: JOB,
      metric_name: 'anomaly_score',
      metric_value: 0,
      tags: { host: 'web-1', rank: '1' },
    })
    const ranged = await mine.query(
      'select metric_value from anomaly_metrics where job_id = $1 and time >= $2 and time < $3 order by time',
      [JOB, at(-60 * 60_000), at(0)],
    )
    expect(ranged.rows.map((row) => row.metric_value)).toEqual([2, 1])
    const binned = await mine.query(
      `select date_bin('1 hour', time, timestamptz '1970-01-01Z') as bucket, avg(metric_value) as mean, count(*)::int4 as count
       from anomaly_metrics where metric_name = 'anomaly_score' and tags @> '{"host":"web-1"}' group by 1 order by 1`,
    )
    expect(binned.rows).toEqual([
      { bucket: at(-2 * HOUR_MS), mean: 3, count: 1 },
      { bucket: at(-HOUR_MS), mean: 1.5, count: 2 },
      { bucket: at(0), mean: 0, count: 1 },
    ])
    if (engine === 'timescale') {
      const bucketed = await mine.query(
        `select time_bucket('1 hour', time) as bucket, avg(metric_value) as mean, count(*)::int4 as count
         from anomaly_metrics where metric_name = 'anomaly_score' and tags @> '{"host":"web-1"}' group by bucket order by bucket`,
      )
      expect(bucketed.rows).toEqual(binned.rows)
    }
    expect((await theirs.query('select metric_value, tags from anomaly_metrics')).rows).toEqual([
      { metric_value: 99, tags: {} },
    ])
  })

  test('no setting, role or function of its own gives a login another tenant', async () => {
    const mine = await sql.logIn(nomaly.tenant.tenantId)
    await mine.query(`set nomaly.tenant_id = '${beta.tenantId}'`)
    await mine.query(
      `create function pg_temp.peek(n float8) returns boolean language plpgsql cost 0.0000001 as
       $$ begin raise exception 'saw %', n; return true; end $$`,
    )
    const peeked = mine.query(
      'select from anomaly_metrics where pg_temp.peek(metric_value) and metric_value = 99',
    )
    await expect(peeked.then(({ rowCount }) => rowCount)).resolves.toBe(0)
    for (const statement of [
      'select from metrics.series',
      'select from metrics.logins',
      'select from metrics.points_forever',
      'set role nomaly_system',
      `select metrics.sound_tags('{}')`,
    ])
      await expect(mine.query(statement), statement).rejects.toMatchObject({ code: '42501' })
    for (const statement of ['update anomaly_metrics set metric_value = 1', 'delete from anomaly_metrics'])
      await expect(mine.query(statement), statement).rejects.toMatchObject({ code: '55000' })
  })

  test('many rows go in at once, by values and by COPY', async () => {
    const mine = await sql.logIn(nomaly.tenant.tenantId)
    const job = randomUUID()
    await mine.query(
      `insert into anomaly_metrics select $1::timestamptz + n * interval '1 second', $2, 'm' || n % 3, n, '{}'
       from generate_series(1, 100) n`,
      [at(0), job],
    )
    const stream = mine.query(
      copyFrom('copy anomaly_metrics (time, job_id, metric_name, metric_value, tags) from stdin'),
    )
    await pipeline(Readable.from([`${at(0).toISOString()}\t${job}\tm0\t0.5\t{"host":"a"}\n`]), stream)
    const { rows } = await mine.query(
      'select metric_name, count(*)::int4 as count from anomaly_metrics where job_id = $1 group by 1 order by 1',
      [job],
    )
    expect(rows).toEqual([
      { metric_name: 'm0', count: 34 },
      { metric_name: 'm1', count: 34 },
      { metric_name: 'm2', count: 33 },
    ])
  })

  test('a login without a tenant is told so', async () => {
    const nobody = await sql.logIn(undefined)
    const expected = {
      code: '42501',
      message: expect.stringMatching(/^the login sql_\w+ has no tenant$/),
    }
    await expect(nobody.query('select * from anomaly_metrics')).rejects.toMatchObject(expected)
    await expect(nobody.query(INSERT, [at(0), JOB, 'm', 1, null])).rejects.toMatchObject(expected)
  })

  test('what is inserted is what the engine has: first write, newest point, roll-ups', async () => {
    const { metrics } = nomaly.store
    const scope = nomaly.tenant
    const job = randomUUID()
    const mine = await sql.logIn(scope.tenantId)
    const ask = async (): Promise<MetricBucket[]> => {
      const [series] = await metrics.listSeries(scope, { sourceId: job })
      return Array.fromAsync(
        metrics.query(scope, {
          series: [series!.id],
          range: { fromMs: NOW - 48 * HOUR_MS, toMs: NOW + HOUR_MS },
          bucket: { seconds: 3600 },
          freshness: 'latest',
        }),
      )
    }
    const insert = (hour: number, value: number): Promise<unknown> =>
      mine.query(INSERT, [at(hour * HOUR_MS + 1000), job, 'score', value, { k: 'é😀' }])
    const rollUp = async (): Promise<void> => {
      while ((await metrics.rollUp(new Date())).hasMore);
    }
    await insert(-30, 1)
    await insert(-30, 7)
    await insert(0, 2)
    await insert(-29, Number.NaN)
    await rollUp()
    expect((await ask()).map(({ count, nonFinite, sum }) => [count, nonFinite, sum])).toEqual([
      [1, 0, 1],
      [0, 1, null],
      [1, 0, 2],
    ])
    // Late, into hours that are closed: one that is rolled up, and one that had nothing.
    await mine.query(INSERT, [at(-30 * HOUR_MS + 2000), job, 'score', 10, { k: 'é😀' }])
    await insert(-20, 5)
    const expected = [
      [2, 11, 10],
      [0, null, null],
      [1, 5, 5],
      [1, 2, 2],
    ]
    const look = async (): Promise<unknown> => (await ask()).map(({ count, sum, max }) => [count, sum, max])
    expect(await look()).toEqual(expected)
    await rollUp()
    expect(await look()).toEqual(expected)
    const [series] = await metrics.listSeries(scope, { sourceId: job })
    expect(series).toMatchObject({ metric: 'score', tags: { k: 'é😀' }, source: { kind: 'job', id: job } })
    expect(await metrics.latest(scope, [series!.id])).toMatchObject([{ timeMs: NOW + 1000, value: 2 }])
    // The engine finds the same series by its name.
    const { value } = await metrics.append(scope, {
      source: { kind: 'job', id: job, retention: 'forever' },
      keys: [{ metric: 'score', tags: { k: 'é😀' } }],
      series: Uint32Array.of(0, 0),
      timesMs: Float64Array.of(NOW + 1000, NOW + 2000),
      values: Float64Array.of(3, 4),
    })
    expect(value).toMatchObject({ inserted: 1, conflicting: 1 })
  })

  test('a transaction that stays open keeps nobody from closing hours, and is seen when it commits', async () => {
    const { metrics } = nomaly.store
    const job = randomUUID()
    const mine = await sql.logIn(nomaly.tenant.tenantId)
    await mine.query('begin isolation level repeatable read')
    await mine.query(INSERT, [at(-5 * HOUR_MS), job, 'open', 1, null])
    await metrics.rollUp(new Date())
    await metrics.rollUp(new Date(Date.now() + 3 * HOUR_MS))
    expect(await metrics.listSeries(nomaly.tenant, { sourceId: job })).toEqual([])
    await mine.query('commit')
    const [series] = await metrics.listSeries(nomaly.tenant, { sourceId: job })
    const query = {
      series: [series!.id],
      range: { fromMs: NOW - 48 * HOUR_MS, toMs: NOW },
      bucket: { seconds: 3600 },
      freshness: 'latest',
    } as const
    for (let round = 0; round < 2; round++) {
      expect(await Array.fromAsync(metrics.query(nomaly.tenant, query))).toMatchObject([{ count: 1, sum: 1 }])
      await metrics.rollUp(new Date())
    }
  })

  test('what the API refuses is refused', async () => {
    const mine = await sql.logIn(nomaly.tenant.tenantId)
    const { maxAbsoluteValue } = POINT_LIMITS
    const limits = [maxAbsoluteValue, -maxAbsoluteValue, Infinity, -Infinity]
    for (const [i, value] of limits.entries()) await mine.query(INSERT, [at(-i), JOB, 'limits', value, null])
    const many = Object.fromEntries(Array.from({ length: 21 }, (_, i) => [`t${i}`, 'x']))
    const wrong: [unknown[], string][] = [
      [[at(0), JOB, 'm', maxAbsoluteValue * 1.001, null], '23514'],
      [['1969-12-31T23:59:59Z', JOB, 'm', 1, null], '23514'],
      [['2100-01-01T00:00:01Z', JOB, 'm', 1, null], '23514'],
      [[at(0), JOB, '', 1, null], '23514'],
      [[at(0), JOB, '😀'.repeat(101), 1, null], '23514'],
      [[at(0), JOB, 'm', 1, '[]'], '23514'],
      [[at(0), JOB, 'm', 1, { a: [] }], '23514'],
      [[at(0), JOB, 'm', 1, { '': 'x' }], '23514'],
      [[at(0), JOB, 'm', 1, { a: 'x'.repeat(501) }], '23514'],
      [[at(0), JOB, 'm', 1, many], '23514'],
      [[null, JOB, 'm', 1, null], '23502'],
      [[at(0), null, 'm', 1, null], '23502'],
      [['1975-01-01T00:00:00Z', JOB, 'm', 1, null], '55000'],
    ]
    for (const [values, code] of wrong)
      await expect(mine.query(INSERT, values), JSON.stringify(values)).rejects.toMatchObject({ code })
    expect((await mine.query(`select from anomaly_metrics where metric_name = 'm'`)).rowCount).toBe(0)
  })
})
