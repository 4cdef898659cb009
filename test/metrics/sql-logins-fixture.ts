import { randomUUID } from 'node:crypto'
import pg from 'pg'
import { grantSql } from '../../src/operations/sql-logins.ts'
import { startTestNomaly, type TestNomaly } from '../support/nomaly.ts'

const HOUR_MS = 3_600_000

/** The ADR's own statement. */
export const INSERT = `insert into anomaly_metrics (time, job_id, metric_name, metric_value, tags) values ($1, $2, $3, $4, $5)`

export const ENGINES = ['partitioned', 'timescale'] as const

/** Logins of tenants on an installation, as `nomaly access grant-sql` makes them. */
export interface SqlLogins extends AsyncDisposable {
  readonly admin: pg.Client
  /** Connects as a new login; `undefined` leaves its tenant out. */
  logIn(tenantId: string | undefined): Promise<pg.Client>
}

/** Opens an administrator's connection, from which logins are dropped when disposed of. */
export async function makeSqlLogins(nomaly: TestNomaly): Promise<SqlLogins> {
  const { adminUrl } = nomaly.database
  const admin = new pg.Client({ connectionString: adminUrl })
  await admin.connect()
  const clients: pg.Client[] = []
  const logins: string[] = []
  const options = { mayInsert: true, maxConnections: 2, statementTimeoutSeconds: 60 }
  return {
    admin,
    async logIn(tenantId) {
      const login = `sql_${randomUUID().slice(0, 8)}`
      const url = await grantSql(adminUrl, login, { tenantId: tenantId ?? randomUUID(), ...options })
      logins.push(login)
      if (tenantId === undefined) await admin.query('delete from metrics.logins where login = $1', [login])
      const client = new pg.Client({ connectionString: url })
      await client.connect()
      clients.push(client)
      return client
    },
    async [Symbol.asyncDispose]() {
      for (const client of clients) await client.end()
      for (const login of logins) await admin.query(`drop owned by ${login}; drop role ${login}`)
      await admin.end()
    },
  }
}

/** An installation with room for points from two days ago on, whose first tenant has a login. */
export async function startSqlNomaly(
  metricsEngine: (typeof ENGINES)[number],
): Promise<{ nomaly: TestNomaly; sql: SqlLogins }> {
  const nomaly = await startTestNomaly({ worker: false, config: { metricsEngine } })
  const sql = await makeSqlLogins(nomaly)
  await sql.logIn(nomaly.tenant.tenantId)
  await nomaly.store.metrics.maintain(new Date())
  // Partitions are made ahead of now: where the month has just begun there is none for two days ago.
  await nomaly.store.metrics.append(nomaly.tenant, {
    source: { kind: 'job', id: randomUUID(), retention: 'forever' },
    keys: [{ metric: 'makes room', tags: {} }],
    series: Uint32Array.of(0, 0),
    timesMs: Float64Array.of(Date.now() - 48 * HOUR_MS, Date.now() - 24 * HOUR_MS),
    values: Float64Array.of(0, 0),
  })
  return { nomaly, sql }
}
