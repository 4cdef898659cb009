import { randomBytes } from 'node:crypto'
import type pg from 'pg'
import type { Config } from '../config/profiles.ts'
import { connectClient } from '../database/connect.ts'
import { scramVerifier } from '../database/scram-verifier.ts'
import { invalidField, NomalyError } from '../errors.ts'
import { urlForLogin } from './connection-urls.ts'
import { explainLoginRefusal } from './sql-login-refusals.ts'

/** A view that tenants may read in SQL; one that takes rows too may be granted for inserting. */
interface SharedView {
  readonly name: string
  readonly takesRows: boolean
}

/** Everything that a login of a tenant has rights on. */
const SHARED_VIEWS: readonly SharedView[] = [{ name: 'metrics.anomaly_metrics', takesRows: true }]

/** Names that PostgreSQL and this product have for themselves. */
const RESERVED = /^(pg_|nomaly|postgres$|public$|none$)/

export interface SqlLoginOptions {
  readonly tenantId: string
  /** Whether it may insert too; only read otherwise. */
  readonly mayInsert: boolean
  /** At the same time. */
  readonly maxConnections: number
  /** Longest time of a statement, unless it sets another one. */
  readonly statementTimeoutSeconds: number
}

/** A database login of a tenant, as an operator sees it. */
export interface SqlLogin {
  readonly login: string
  readonly tenantId: string
  readonly mayInsert: boolean
  /** Connections that it has now. */
  readonly sessions: number
  readonly createdAt: Date
  /** False where somebody has dropped the role by hand. */
  readonly canLogIn: boolean
}

/** The administrator's address of the database that has the metrics. */
export function metricsAdminUrl(
  config: Pick<Config, 'metricsDatabaseUrl' | 'metricsAdminDatabaseUrl' | 'metricsDirectDatabaseUrl'>,
  adminUrl: string,
): string {
  const { metricsAdminDatabaseUrl, metricsDirectDatabaseUrl, metricsDatabaseUrl } = config
  return metricsAdminDatabaseUrl ?? metricsDirectDatabaseUrl ?? metricsDatabaseUrl ?? adminUrl
}

/**
 * Makes a login that sees what its tenant may see in SQL, and nothing else; answers its address with the password, which is kept
 * nowhere: never log it.
 * @throws NomalyError `invalid_input` for a name that does not fit, `conflict` for one that is taken, `forbidden` without the right to make logins.
 */
export async function grantSql(adminUrl: string, login: string, options: SqlLoginOptions): Promise<string> {
  if (!/^[a-z][a-z0-9_]{0,62}$/.test(login) || RESERVED.test(login))
    throw invalidField(
      'name',
      'must be 1 to 63 lower-case letters, digits and underscores, start with a letter, and not with "nomaly" or "pg_"',
    )
  const password = randomBytes(24).toString('base64url')
  await asAdmin(adminUrl, login, async (client) => {
    const name = client.escapeIdentifier(login)
    const verifier = client.escapeLiteral(scramVerifier(password, randomBytes(16)))
    await client.query('begin')
    await client.query(
      `create role ${name} login noinherit nosuperuser nocreatedb nocreaterole noreplication nobypassrls
         connection limit ${options.maxConnections} password ${verifier}`,
    )
    const settings = {
      search_path: 'metrics, public',
      statement_timeout: `'${options.statementTimeoutSeconds}s'`,
      idle_in_transaction_session_timeout: "'60s'",
      default_transaction_read_only: options.mayInsert ? 'off' : 'on',
    }
    const { database, canConnect } = await lookAtDatabase(client, login)
    for (const [setting, value] of Object.entries(settings))
      await client.query(`alter role ${name} in database ${database} set ${setting} = ${value}`)
    if (!canConnect) await client.query(`grant connect on database ${database} to ${name}`)
    await client.query(`set local role nomaly_owner; grant usage on schema metrics to ${name}`)
    await client.query('set local role nomaly_system')
    for (const view of SHARED_VIEWS) {
      const rights = options.mayInsert && view.takesRows ? 'select, insert' : 'select'
      await client.query(`grant ${rights} on ${view.name} to ${name}`)
    }
    await client.query('insert into metrics.logins (login, tenant_id) values ($1, $2)', [
      login,
      options.tenantId,
    ])
    await client.query('commit')
  })
  return urlForLogin(adminUrl, login, password)
}

/**
 * Takes a login away: it can no longer log in, its sessions end, its role is dropped. May be called again where it was interrupted.
 * @throws NomalyError `not_found`, or `conflict` where it owns something in another database, which keeps its role; it has no rights then.
 */
export async function revokeSql(adminUrl: string, login: string): Promise<void> {
  await asAdmin(adminUrl, login, async (client) => {
    const known = (await listIn(client)).find((one) => one.login === login)
    if (known === undefined)
      throw new NomalyError('not_found', `There is no login "${login}" of a tenant.`, {
        hint: 'List what there is with `nomaly access list-sql`.',
      })
    if (known.canLogIn) await dropRole(client, login)
    await asSystem(client, 'delete from metrics.logins where login = $1', [login])
  })
}

/** The logins of all tenants, by name. */
export async function listSqlLogins(adminUrl: string): Promise<SqlLogin[]> {
  return asAdmin(adminUrl, '', listIn)
}

async function listIn(client: pg.Client): Promise<SqlLogin[]> {
  // The oldest right is looked at, for a name that may be nobody's any more.
  const takesRows = SHARED_VIEWS.filter((view) => view.takesRows).map(({ name }) => name)
  return asSystem<SqlLogin & pg.QueryResultRow>(
    client,
    `select l.login::text as login, l.tenant_id as "tenantId", l.created_at as "createdAt", r.oid is not null as "canLogIn",
       coalesce((select bool_or(has_table_privilege(r.oid, view, 'insert')) from unnest($1::text[]) view), false) as "mayInsert",
       (select count(*)::int4 from pg_stat_activity a where a.usename = l.login) as sessions
     from metrics.logins l left join pg_roles r on r.rolname = l.login order by l.login`,
    [takesRows],
  )
}

/** Each step is committed by itself: what comes first keeps it out, whatever becomes of the rest. */
async function dropRole(client: pg.Client, login: string): Promise<void> {
  const name = client.escapeIdentifier(login)
  await client.query(`alter role ${name} nologin`)
  const { rows } = await client.query<{ isSuperuser: boolean; me: string }>(
    'select rolsuper as "isSuperuser", rolname as me from pg_roles where rolname = current_user',
  )
  // Only who has the rights of a role may end its sessions and drop what it owns.
  if (!rows[0]!.isSuperuser) await client.query(`grant ${name} to ${client.escapeIdentifier(rows[0]!.me)}`)
  await client.query('select pg_terminate_backend(pid, 5000) from pg_stat_activity where usename = $1', [
    login,
  ])
  const { database } = await lookAtDatabase(client, login)
  await client.query('begin')
  for (const view of SHARED_VIEWS)
    await client.query(`set local role nomaly_system; revoke all on ${view.name} from ${name}`)
  await client.query(`set local role nomaly_owner; revoke all on schema metrics from ${name}; reset role`)
  await client.query(`revoke all on database ${database} from ${name}`)
  await client.query(`drop owned by ${name}`)
  await client.query('commit')
  await client.query(`drop role ${name}`)
}

async function lookAtDatabase(
  client: pg.Client,
  login: string,
): Promise<{ database: string; canConnect: boolean }> {
  const { rows } = await client.query<{ database: string; canConnect: boolean }>(
    `select current_database() as database, has_database_privilege($1::name, current_database(), 'connect') as "canConnect"`,
    [login],
  )
  return { database: client.escapeIdentifier(rows[0]!.database), canConnect: rows[0]!.canConnect }
}

async function asSystem<Row extends pg.QueryResultRow>(
  client: pg.Client,
  statement: string,
  values: readonly unknown[],
): Promise<Row[]> {
  await client.query('set role nomaly_system')
  const { rows } = await client.query<Row>(statement, [...values])
  await client.query('reset role')
  return rows
}

async function asAdmin<T>(
  adminUrl: string,
  login: string,
  work: (client: pg.Client) => Promise<T>,
): Promise<T> {
  const client = await connectClient(adminUrl, { application_name: 'nomaly access' })
  try {
    return await work(client)
  } catch (error) {
    throw explainLoginRefusal(error, login)
  } finally {
    await client.end()
  }
}
