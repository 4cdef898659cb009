import pg from 'pg'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { importOneOfEach } from '../import/import-one-of-each.ts'
import { startTestNomaly, type TestNomaly, type TestTenant } from '../support/nomaly.ts'
import { fillTenant, SECRET } from './tenant-fixture.ts'
import { listTenantTables, type TenantTable } from './tenant-rows.ts'

let nomaly: TestNomaly
let admin: pg.Client
/** The application's own login, which may become `nomaly_app` and nothing more. */
let client: pg.Client
let alpha: TestTenant
let beta: TestTenant
let tables: TenantTable[]

beforeAll(async () => {
  nomaly = await startTestNomaly()
  admin = new pg.Client({ connectionString: nomaly.database.adminUrl })
  await admin.connect()
  client = new pg.Client({ connectionString: nomaly.databaseUrl })
  await client.connect()
  alpha = await nomaly.createTenant(SECRET)
  beta = await nomaly.createTenant('beta')
  await fillTenant(nomaly, admin, alpha)
  const link = async (): Promise<string> =>
    (await nomaly.request('POST', '/v1/sign-in-links', { key: alpha.key })).body.path
  await nomaly.request('GET', await link(), { key: '' })
  await link()
  await admin.query(`insert into metrics.logins (login, tenant_id) values ('${SECRET}', $1)`, [
    alpha.tenantId,
  ])
  await admin.query("insert into nomaly.orphans values ('source', $1, gen_random_uuid(), 0, now())", [
    alpha.tenantId,
  ])
  await importOneOfEach(nomaly.store, SECRET, SECRET)
  await admin.query(
    `insert into nomaly.detector_snapshots (tenant_id, job_id, series_id, revision, run_id, written_at, state)
     select tenant_id, job_id, series_id, revision, run_id, updated_at, state from nomaly.detector_states where tenant_id = $1`,
    [alpha.tenantId],
  )
  tables = await listTenantTables(admin)
})

afterAll(async () => {
  await client.end()
  await admin.end()
  await nomaly[Symbol.asyncDispose]()
})

test('every table with a tenant has row-level security, and forces it on its owner too', () => {
  const core = tables.filter(({ schema }) => schema === 'nomaly')
  expect(core.length).toBeGreaterThanOrEqual(13)
  expect(tables.filter(({ isSecured, isForced }) => !isSecured || !isForced).map(({ name }) => name)).toEqual(
    [],
  )
})

test.each(['no tenant', 'another tenant'])(
  'with %s set, rows cannot be read, added, changed or removed',
  async (who) => {
    const tenantId = who === 'no tenant' ? '' : beta.tenantId
    for (const { name, columns } of tables) {
      const { rows } = await admin.query<{ row: Record<string, unknown> }>(
        `select to_jsonb(t) as row from ${name} t where tenant_id = $1 limit 1`,
        [alpha.tenantId],
      )
      const row = rows[0]?.row
      // The relay may have moved the outbox on: then it is empty, and only adding can be tried.
      if (name !== 'nomaly.outbox')
        expect(row, `the first tenant has nothing in ${name}: give it something above`).toBeDefined()
      const list = columns.join(', ')
      const copy = row ?? {
        tenant_id: alpha.tenantId,
        topic: 'test',
        payload: {},
        id: 1,
        created_at: '2026-01-01',
      }

      const seen = await attempt(
        tenantId,
        `select count(*)::int as count from ${name} where tenant_id = '${alpha.tenantId}'`,
      )
      expect(seen, `read ${name}`).toBeOneOf(['refused', 0])
      const added = await attempt(
        tenantId,
        `insert into ${name} (${list}) overriding system value select ${list} from jsonb_populate_record(null::${name}, $1)`,
        [JSON.stringify(copy)],
      )
      expect(added, `add to ${name}`).toBe('refused')
      const changed = await attempt(
        tenantId,
        `update ${name} set tenant_id = tenant_id where tenant_id = '${alpha.tenantId}'`,
      )
      expect(changed, `change ${name}`).toBeOneOf(['refused', 0])
      const taken = await attempt(tenantId, `update ${name} set tenant_id = '${beta.tenantId}'`)
      expect(taken, `take over ${name}`).toSatisfy(
        (result) => result === 'refused' || result === 0 || tenantId !== '',
      )
      const removed = await attempt(tenantId, `delete from ${name} where tenant_id = '${alpha.tenantId}'`)
      expect(removed, `remove from ${name}`).toBeOneOf(['refused', 0])
    }
    const tenants = await attempt(
      tenantId,
      `select count(*)::int as count from nomaly.tenants where id = '${alpha.tenantId}'`,
    )
    expect(tenants).toBe(0)
  },
)

test('the same statements work for the tenant itself, so that it is the tenant who makes the difference', async () => {
  for (const name of ['nomaly.datasets', 'nomaly.jobs', 'nomaly.anomalies', 'metrics.series'])
    expect(await attempt(alpha.tenantId, `select count(*)::int as count from ${name}`), name).toBeGreaterThan(
      0,
    )
  expect(await attempt(alpha.tenantId, `update nomaly.datasets set description = 'y'`)).toBeGreaterThan(0)
})

test('the application has no right at all on points', async () => {
  // Their roll-ups too, whatever keeps them; with TimescaleDB also the chunks of both.
  const { rows: relations } = await admin.query<{ name: string; rights: string[] }>(`
    select format('%I.%I', n.nspname, c.relname) as name,
      array(select "right" from unnest(array['select', 'insert', 'update', 'delete', 'truncate', 'references', 'trigger']) "right"
        where has_table_privilege('nomaly_app', c.oid, "right")) as rights
    from pg_class c join pg_namespace n on n.oid = c.relnamespace
    where c.relkind in ('r', 'p', 'v', 'm') and (
      n.nspname = 'metrics' and c.relname ~ '^((timescale_)?(points|hourly|daily)_|latest_points$)'
      or n.nspname = '_timescaledb_internal' and c.relname ~ '^(_|compress_).*_[0-9]+(_chunk)?$')`)
  expect(relations.filter(({ rights }) => rights.length > 0)).toEqual([])
  const names = relations.map(({ name }) => name)
  const kept = nomaly.store.metrics.name === 'timescale' ? 'timescale_' : ''
  expect(names).toContain(`metrics.${kept}points_forever`)
  if (kept !== '')
    expect(names.filter((name) => name.startsWith('_timescaledb_internal.')).length).toBeGreaterThan(2)
  for (const table of [`${kept}points_forever`, `${kept}hourly_forever`, 'latest_points'])
    expect(await attempt(alpha.tenantId, `select count(*)::int as count from metrics.${table}`)).toBe(
      'refused',
    )
})

/** The count a statement gives or the rows it touches, or that it is refused; always undone. */
async function attempt(tenantId: string, text: string, values: unknown[] = []): Promise<number | 'refused'> {
  await client.query(`begin; set local role nomaly_app; set local nomaly.tenant_id = '${tenantId}'`)
  try {
    const { rows, rowCount }: pg.QueryResult<{ count?: number }> = await client.query(text, values)
    return rows[0]?.count ?? rowCount ?? 0
  } catch (error) {
    if ((error as { code?: string }).code === '42501') return 'refused'
    throw error
  } finally {
    await client.query('rollback')
  }
}
