import type pg from 'pg'
import { loginOf } from '../../config/database-url.ts'
import { connectClient } from '../../database/connect.ts'
import type { DatabaseRole } from '../../database/connection.ts'
import { hasTable } from '../../database/installation.ts'

/** A database of the installation, looked at by a login that had better be the administrator's. */
export interface ExaminedDatabase extends AsyncDisposable {
  /** As reports name it: `database`, `metrics database`. */
  readonly name: string
  /** As its server names it. */
  readonly databaseName: string
  readonly holds: 'everything' | 'core' | 'metrics'
  /** The login that the application uses. */
  readonly applicationLogin: string
  readonly isEmbedded: boolean
  /** How long it took until it answered, in milliseconds. */
  readonly connectedInMs: number
  /** As PostgreSQL counts it, such as 180004. */
  readonly version: number
  /** The cluster; databases with the same one are on one server. */
  readonly systemId: string
  readonly isStandby: boolean
  /** Whether the login sees what others do there. */
  readonly seesAll: boolean
  /** Whether its points are in TimescaleDB. */
  readonly usesTimescale: boolean
  /** Runs one statement that reads, in a transaction of its own, within five seconds. */
  ask<Row extends pg.QueryResultRow>(
    text: string,
    values?: readonly unknown[],
    role?: DatabaseRole | 'nomaly_owner',
  ): Promise<Row[]>
}

/** A server, with those of the installation's databases that are on it. */
export interface ExaminedServer extends Pick<
  ExaminedDatabase,
  'ask' | 'version' | 'isStandby' | 'seesAll' | 'isEmbedded'
> {
  readonly databases: readonly ExaminedDatabase[]
  /** Of the installation, by the core's connections; of all its servers the same. */
  readonly connected: { readonly processes: number; readonly workers: number }
}

export interface DatabaseAddress {
  readonly name: string
  readonly holds: ExaminedDatabase['holds']
  readonly adminUrl: string
  readonly applicationUrl: string
  readonly isEmbedded: boolean
}

type Identity = Pick<ExaminedDatabase, 'version' | 'systemId' | 'isStandby' | 'seesAll' | 'databaseName'>

const PATIENCE_MS = 5_000

/** Connects to a database of the installation, for reading only. @throws Error of the driver. */
export async function openExaminedDatabase(
  address: DatabaseAddress,
  clock: () => number,
): Promise<ExaminedDatabase> {
  const startedMs = clock()
  const client = await connectClient(address.adminUrl, {
    application_name: 'nomaly doctor',
    connectionTimeoutMillis: PATIENCE_MS,
    // The server's own limit comes first, and leaves the connection usable.
    query_timeout: 2 * PATIENCE_MS,
  })
  client.on('error', () => {})
  const ask: ExaminedDatabase['ask'] = async (text, values = [], role) => {
    const become = role === undefined ? '' : `; set local role ${role}`
    try {
      await client.query(`begin read only; set local statement_timeout = ${PATIENCE_MS}${become}`)
      return (await client.query(text, [...values])).rows
    } finally {
      await client.query('rollback')
    }
  }
  try {
    const [row] = await ask<Identity>(
      `select current_setting('server_version_num')::int4 as version, pg_is_in_recovery() as "isStandby",
         current_database() as "databaseName", pg_has_role(current_user, 'pg_read_all_stats', 'usage') as "seesAll",
         (select system_identifier::text from pg_control_system()) as "systemId"`,
    )
    const connectedInMs = clock() - startedMs
    return {
      ...address,
      ...row!,
      applicationLogin: loginOf(address.applicationUrl),
      connectedInMs,
      usesTimescale: await usesTimescale(ask),
      ask,
      [Symbol.asyncDispose]: () => client.end(),
    }
  } catch (error) {
    await client.end().catch(() => {})
    throw error
  }
}

async function usesTimescale(ask: ExaminedDatabase['ask']): Promise<boolean> {
  const [table] = await ask<{ exists: boolean }>(hasTable('metrics', 'engine'))
  if (!table!.exists) return false
  // Where the login may not look, what stands beside tells the same.
  const [extension] = await ask<{ exists: boolean }>(
    `select exists(select from pg_extension where extname = 'timescaledb') as exists`,
  )
  if (!extension!.exists) return false
  const [hypertables] = await ask<{ exists: boolean }>(
    `select exists(select from pg_class c join pg_namespace n on n.oid = c.relnamespace
       where n.nspname = 'metrics' and c.relname like 'timescale\\_points%') as exists`,
  )
  return hypertables!.exists
}

/** The processes that are connected to a core: each has one connection that listens, each worker one that shows it lives. */
export async function countConnected(core: ExaminedDatabase): Promise<ExaminedServer['connected']> {
  const [row] = await core.ask<{ processes: number; workers: number }>(
    `select count(*) filter (where application_name = 'nomaly notifier')::int4 as processes,
       count(*) filter (where application_name = 'nomaly worker')::int4 as workers
     from pg_stat_activity where datname = current_database()`,
  )
  return row!
}
