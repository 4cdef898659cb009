import { randomUUID } from 'node:crypto'
import pg from 'pg'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { DatabaseRole } from '../../src/database/connection.ts'
import type { PointBatch } from '../../src/metrics/metrics-engine.ts'
import { WORKLOAD_NOW_MS } from '../conformance/metrics-workload.ts'
import { makePartitionedEngine, type PartitionedFixture } from './partitioned-fixture.ts'

let fixture: PartitionedFixture
let admin: pg.Client

beforeAll(async () => {
  fixture = await makePartitionedEngine()
  admin = new pg.Client({ connectionString: fixture.adminUrl })
  await admin.connect()
})

afterAll(async () => {
  await admin.end()
  await fixture[Symbol.asyncDispose]()
})

function batch(times: readonly number[], seriesCount = 1): PointBatch {
  return {
    source: { kind: 'dataset', id: randomUUID(), retention: 'forever' },
    keys: Array.from({ length: seriesCount }, (_, i) => ({ metric: `m${i}`, tags: { host: `h${i}` } })),
    series: Uint32Array.from(times, (_, i) => i % seriesCount),
    timesMs: Float64Array.from(times),
    values: Float64Array.from(times, (_, i) => i),
  }
}

function run(
  role: DatabaseRole,
  tenantId: string | undefined,
  statement: string,
): Promise<Record<string, unknown>[]> {
  const scope = tenantId === undefined ? {} : { scope: { tenantId } }
  return fixture.database
    .transaction({ role, ...scope }, (c) => c.query(statement))
    .then(({ value }) => value)
}

describe('rights', () => {
  test('the application reaches points through the engine only', async () => {
    const { rows } = await admin.query<{ name: string }>(
      // What row-level security keeps apart, such as series, is reached directly.
      `select format('metrics.%I', relname) as name from pg_class
       where relnamespace = 'metrics'::regnamespace and relkind in ('r', 'p') and not (relrowsecurity and relforcerowsecurity)`,
    )
    const tenant = randomUUID()
    await fixture.engine.append({ tenantId: tenant }, batch([WORKLOAD_NOW_MS]))
    expect(rows.map(({ name }) => name)).toEqual(
      expect.arrayContaining(['metrics.points_forever', 'metrics.points_week']),
    )
    for (const { name } of rows)
      for (const statement of [`select from ${name}`, `delete from ${name}`, `truncate ${name}`]) {
        // Which engine there is may be known to all.
        if (statement === 'select from metrics.engine') continue
        await expect(run('nomaly_app', tenant, statement), statement).rejects.toMatchObject({ code: '42501' })
      }
    for (const call of [
      `select metrics.ensure_partitions('forever', array[now()], now())`,
      `select metrics.drop_partitions('week', now())`,
    ])
      await expect(run('nomaly_app', tenant, call), call).rejects.toMatchObject({ code: '42501' })
  })

  test('series show to their tenant only, to nobody without one, and cannot be made for another', async () => {
    const [tenant, other] = [randomUUID(), randomUUID()]
    await fixture.engine.append({ tenantId: tenant }, batch([WORKLOAD_NOW_MS]))
    const count = async (id: string | undefined) =>
      (await run('nomaly_app', id, 'select from metrics.series')).length
    expect([await count(tenant), await count(other), await count(undefined)]).toEqual([1, 0, 0])
    expect(await run('nomaly_app', other, 'delete from metrics.series returning id')).toEqual([])
    const insert = `insert into metrics.series (tenant_id, source_kind, source_id, metric, tags, retention)
      values ('${tenant}', 'dataset', '${other}', 'm', '{}', 'week')`
    await expect(run('nomaly_app', other, insert)).rejects.toMatchObject({ code: '42501' })
  })

  test('partitions cannot be asked for of a class that does not exist', async () => {
    const call = `select metrics.ensure_partitions('x; drop', array[now()], now())`
    await expect(run('nomaly_system', undefined, call)).rejects.toMatchObject({ code: '22023' })
  })
})

describe('partitions', () => {
  test('points from all of time make a bounded number of them', async () => {
    const everyMonth = Array.from({ length: 130 * 12 }, (_, month) => Date.UTC(1970, month, 1 + (month % 28)))
    const { value } = await fixture.engine.append({ tenantId: randomUUID() }, batch(everyMonth, 3))
    expect(value.inserted).toBe(everyMonth.length)
    const week = {
      ...batch(everyMonth),
      source: { kind: 'dataset', id: randomUUID(), retention: 'week' } as const,
    }
    const kept = await fixture.engine.append({ tenantId: randomUUID() }, week)
    expect(kept.value.rejectedTotal).toBe(
      everyMonth.filter((ms) => ms < WORKLOAD_NOW_MS - 7 * 86_400_000).length,
    )
    const { rows } = await admin.query<{ retention: string; count: number; gapless: boolean }>(
      `select retention, count(*)::int4 as count,
         bool_and(lower = before or before is null) as gapless
       from (select *, lag(upper) over (partition by retention order by lower) as before from metrics.partitions) p
       group by retention`,
    )
    const of = (retention: string) => rows.find((row) => row.retention === retention)!
    expect(of('forever').gapless).toBe(true)
    expect(of('forever').count).toBeLessThan(200)
    expect(of('week').count).toBeLessThan(200)
  })

  test('the bookkeeping is what the catalogue says, in any time zone', async () => {
    await fixture.engine.maintain(new Date(WORKLOAD_NOW_MS))
    await run(
      'nomaly_system',
      undefined,
      `set local timezone = 'Asia/Kathmandu'; select metrics.ensure_partitions(
      'month', array[timestamptz '2026-07-02 00:00Z', timestamptz '2026-07-01 23:59:59.999999Z'], timestamptz '2026-07-10Z')`,
    )
    const { rows } = await admin.query<{ noted: string; real: string }>(
      `select format('FOR VALUES FROM (%L) TO (%L)', lower, upper) as noted, pg_get_expr(c.relpartbound, c.oid) as real
       from (
         select lower, upper, kind || substr(table_name, length('points') + 1) as table_name
         from metrics.partitions cross join (values ('points'), ('hourly'), ('daily')) k(kind)) p
       full join (select * from pg_class where relispartition and relkind = 'r' and relnamespace = 'metrics'::regnamespace) c
         on c.relname = p.table_name`,
    )
    expect(rows.length).toBeGreaterThan(100)
    for (const { noted, real } of rows) expect(noted).toBe(real)
    const { rows: days } = await admin.query(
      `select table_name from metrics.partitions where retention = 'month' and lower in ('2026-07-01Z', '2026-07-02Z')`,
    )
    expect(days).toHaveLength(2)
  })

  test('one in use is left for the next time', async () => {
    const old = {
      ...batch([WORKLOAD_NOW_MS]),
      source: { kind: 'dataset', id: randomUUID(), retention: 'month' } as const,
    }
    await fixture.engine.append({ tenantId: randomUUID() }, old)
    const later = new Date(WORKLOAD_NOW_MS + 60 * 86_400_000)
    await fixture.engine.maintain(new Date(WORKLOAD_NOW_MS))
    const expired = async () =>
      (
        await admin.query(
          `select from metrics.partitions where retention = 'month' and upper <= '2026-08-01Z'`,
        )
      ).rowCount!
    const before = await expired()
    expect(before).toBeGreaterThan(1)
    await admin.query('begin; lock table metrics.points_month in access share mode')
    await fixture.engine.maintain(later)
    await admin.query('commit')
    expect(await expired()).toBe(before)
    expect((await fixture.engine.maintain(later)).partitionsDropped).toBeGreaterThanOrEqual(before)
    expect(await expired()).toBe(0)
  })
})

describe('costs', () => {
  test('repeating a batch burns no ids', async () => {
    const scope = { tenantId: randomUUID() }
    const first = batch([WORKLOAD_NOW_MS, WORKLOAD_NOW_MS + 1], 2)
    const lastId = async () =>
      Number(
        (await admin.query("select last_value from pg_sequences where sequencename = 'series_id_seq'"))
          .rows[0].last_value,
      )
    await fixture.engine.append(scope, first)
    const before = await lastId()
    await fixture.engine.append(scope, first)
    await fixture.neighbour.append(scope, first)
    expect(await lastId()).toBe(before)
  })

  test('reading a range touches the partitions of that range only, by key', async () => {
    await fixture.engine.append({ tenantId: randomUUID() }, batch([WORKLOAD_NOW_MS]))
    const { rows } = await admin.query(
      `explain (format json) select time, value from metrics.points_forever where series_id = 1
       and time >= timestamptz '2026-07-02Z' and time < timestamptz '2026-07-09Z' order by time limit 10`,
    )
    const plan = JSON.stringify(rows[0]['QUERY PLAN'])
    expect(plan.match(/"Relation Name":/g)).toHaveLength(1)
    expect(plan).toContain('points_forever_20260701_20260801')
    expect(plan).not.toContain('Seq Scan')
  })

  test('series are found by tags through the index where no row-level policy is in the way', async () => {
    await admin.query('begin; set local enable_seqscan = off; set local role nomaly_system')
    const { rows } = await admin.query(
      `explain (format json) select id from metrics.series where tags @> '{"host":"h1"}'`,
    )
    await admin.query('rollback')
    expect(JSON.stringify(rows[0]['QUERY PLAN'])).toContain('series_tags')
  })
})
