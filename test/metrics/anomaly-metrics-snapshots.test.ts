import { randomUUID } from 'node:crypto'
import type pg from 'pg'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { TestNomaly } from '../support/nomaly.ts'
import { ENGINES, INSERT, type SqlLogins, startSqlNomaly } from './sql-logins-fixture.ts'
import { compressAll, isTimescaleOffered } from './timescale-fixture.ts'

const HOUR_MS = 3_600_000
const NOW = Math.floor(Date.now() / HOUR_MS) * HOUR_MS

const isOffered = await isTimescaleOffered()

let nomaly: TestNomaly
let sql: SqlLogins

/** How a range of a job is read, as it was executed. */
async function adminPlan(client: pg.Client, job: string): Promise<string> {
  const { rows } = await client.query({
    text: `explain (analyze, costs off, timing off, summary off) select * from anomaly_metrics
      where job_id = '${job}' and time >= '${at(-HOUR_MS).toISOString()}' and time < '${at(1).toISOString()}'`,
    rowMode: 'array',
  })
  return rows.map(([line]) => line).join('\n')
}

const at = (offsetMs: number): Date => new Date(NOW + offsetMs)

describe.each(ENGINES)('snapshots and plans of anomaly_metrics in %s', (engine) => {
  if (engine === 'timescale' && !isOffered) return test.skip('this server offers no timescaledb', () => {})

  beforeAll(async () => {
    ;({ nomaly, sql } = await startSqlNomaly(engine))
  })

  afterAll(async () => {
    await sql[Symbol.asyncDispose]()
    await nomaly[Symbol.asyncDispose]()
  })

  test('a snapshot of several statements is kept, or the transaction fails: no point is ever missing', async () => {
    const job = randomUUID()
    const [reader, writer] = [
      await sql.logIn(nomaly.tenant.tenantId),
      await sql.logIn(nomaly.tenant.tenantId),
    ]
    const count = async (client: pg.Client): Promise<number> => {
      const { rows } = await client.query(
        'select count(*)::int4 as count from anomaly_metrics where job_id = $1',
        [job],
      )
      return rows[0].count
    }
    for (let n = 0; n < 3; n++) await writer.query(INSERT, [at(-30 * HOUR_MS + n), job, 'm', n, null])
    await reader.query('begin isolation level repeatable read; select 1')
    await writer.query(INSERT, [at(-30 * HOUR_MS + 3), job, 'm', 3, null])
    // In between nothing is compressed where there are no chunks.
    const compressed = engine === 'timescale' ? await compressAll(nomaly.store.database) : 0
    if (engine === 'timescale') {
      expect(compressed).toBeGreaterThan(0)
      await expect(count(reader)).rejects.toMatchObject({
        code: '40001',
        hint: 'Begin the transaction again.',
      })
      await reader.query('rollback; begin isolation level repeatable read; select 1')
    } else expect(await count(reader)).toBe(3)
    await writer.query(INSERT, [at(-30 * HOUR_MS + 4), job, 'm', 4, null])
    expect(await count(reader)).toBe(engine === 'timescale' ? 4 : 3)
    await reader.query('commit')
    expect(await count(reader)).toBe(5)
  })

  test('first writes win in what is compressed too, and an old snapshot inserts nothing twice', async () => {
    const job = randomUUID()
    const [mine, old] = [await sql.logIn(nomaly.tenant.tenantId), await sql.logIn(nomaly.tenant.tenantId)]
    await old.query('begin isolation level repeatable read; select 1')
    await mine.query(INSERT, [at(-28 * HOUR_MS), job, 'm', 1, null])
    if (engine === 'timescale') expect(await compressAll(nomaly.store.database)).toBeGreaterThan(0)
    await mine.query(INSERT, [at(-28 * HOUR_MS), job, 'm', 2, null])
    await mine.query(INSERT, [at(-28 * HOUR_MS + 1), job, 'm', 3, null])
    const late = old.query(INSERT, [at(-28 * HOUR_MS), job, 'm', 4, null])
    await expect(late).rejects.toMatchObject({ code: '40001' })
    await old.query('rollback')
    const { rows } = await mine.query(
      'select metric_value from anomaly_metrics where job_id = $1 order by time',
      [job],
    )
    expect(rows.map((row) => row.metric_value)).toEqual([1, 3])
  })

  test('a read goes by series and time to the points of one engine', async () => {
    const job = randomUUID()
    const mine = await sql.logIn(nomaly.tenant.tenantId)
    for (let n = 0; n < 3; n++) await mine.query(INSERT, [at(-n), job, 'm', n, null])
    const plan = await adminPlan(mine, job)
    expect(plan).toMatch(/One-Time Filter/)
    const touched = [...plan.matchAll(/Scan.* on (\S+)/g)].map(([, relation]) => relation!)
    const isOther = (relation: string): boolean =>
      engine === 'timescale' ? relation.startsWith('points_forever') : /^_hyper|compress_hyper/.test(relation)
    const other = plan.split('\n').filter((line) => {
      const relation = / on (\S+)/.exec(line)?.[1]
      return relation !== undefined && isOther(relation)
    })
    for (const line of other) expect(line).toContain('never executed')
    expect(touched.length).toBeGreaterThan(0)
    expect(plan).not.toMatch(/Seq Scan on (points_forever|_hyper)/)
  })
})
