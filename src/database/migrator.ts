import { createHash } from 'node:crypto'
import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { runner } from 'node-pg-migrate'
import pg from 'pg'
import { PgBoss } from 'pg-boss'
import { NomalyError } from '../errors.ts'
import { connectClient } from './connect.ts'

/** The sets of migrations, each a folder of numbered SQL files with a history of its own; beside `foundation`, which comes before any. */
export type MigrationSet = 'core' | 'metrics-partitioned' | 'metrics-timescale'

export interface MigrationReport {
  /** Names of the files that were applied now, in order. */
  readonly applied: readonly string[]
}

export interface MigrateOptions {
  /** Login that may create roles and schemas. */
  readonly adminUrl: string
  readonly sets: readonly MigrationSet[]
  /** The login of the application, where it is another one: made, or given a new password, where a password stands here. */
  readonly applicationLogin?: { readonly name: string; readonly password?: string }
}

/** Where the SQL files stand: beside this module, in the sources as in what is published. */
const MIGRATIONS_DIRECTORY = join(import.meta.dirname, 'migrations')

/** Any number will do, as long as every version of the product takes the same. */
const ADVISORY_LOCK = 4_207_310_001

const ROLE_ATTEMPTS = 20

/**
 * Brings a database to the schema of this version: roles, schemas, tables, queue. Only one process does so at a time.
 * @throws NomalyError `conflict` when an applied file was changed, or the database is of a newer version.
 */
export async function migrate(options: MigrateOptions): Promise<MigrationReport> {
  const client = await connectClient(options.adminUrl, { application_name: 'nomaly migrate' })
  try {
    const version = await requireVersion(client)
    await client.query('select pg_advisory_lock($1)', [ADVISORY_LOCK])
    // A migration that waits for a table holds up everybody who comes after it: better to give up, and be started again.
    await client.query("set lock_timeout = '30s'")
    await settleRoles(client, options.applicationLogin, version)
    await createSchemas(client)
    const applied = await applySet(client, 'foundation')
    for (const set of options.sets) applied.push(...(await applySet(client, set)))
    if (options.sets.includes('core')) await migrateQueue(client)
    return { applied }
  } catch (error) {
    throw explainRefusal(error)
  } finally {
    await client.end()
  }
}

/** A refusal for want of a right is what an administrator can do something about. */
function explainRefusal(error: unknown): unknown {
  if (!(error instanceof pg.DatabaseError) || error.code !== '42501') return error
  return new NomalyError('forbidden', `The login that migrates lacks a right: ${error.message}.`, {
    hint: 'Set ADMIN_DATABASE_URL (METRICS_ADMIN_DATABASE_URL for the metrics database) to a login that may create roles and schemas there: a superuser, or one with CREATEROLE that owns the database.',
    cause: error,
  })
}

/** @returns the version as PostgreSQL counts it, such as 180004. */
async function requireVersion(client: pg.Client): Promise<number> {
  const result = await client.query<{ version: string; label: string }>(
    "select current_setting('server_version_num') as version, current_setting('server_version') as label",
  )
  const { version, label } = result.rows[0]!
  if (Number(version) < 150_000)
    throw new NomalyError(
      'invalid_input',
      `This database server is PostgreSQL ${label}; Nomaly needs 15 or newer.`,
      {
        hint: 'Upgrade the server, or leave DATABASE_URL unset to use the embedded one.',
      },
    )
  return Number(version)
}

/** Roles belong to the whole cluster, and locks to one database: another one may be making the same roles, or changing them, at this very moment. */
async function settleRoles(...roles: Parameters<typeof createRoles>): Promise<void> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await createRoles(...roles)
    } catch (error) {
      if (attempt === ROLE_ATTEMPTS || !isCollision(error)) throw error
      await sleep(attempt * 20)
    }
  }
}

/** PostgreSQL does not wait for who changes the same role: it fails, with no code of its own where the row was there already. */
function isCollision(error: unknown): boolean {
  if (!(error instanceof pg.DatabaseError)) return false
  return ['23505', '42710'].includes(error.code ?? '') || error.message === 'tuple concurrently updated'
}

async function createRoles(
  client: pg.Client,
  login: MigrateOptions['applicationLogin'],
  version: number,
): Promise<void> {
  for (const role of ['nomaly_owner', 'nomaly_app', 'nomaly_system'])
    await client.query(`do $$ begin
      if not exists (select from pg_roles where rolname = '${role}') then create role ${role} nologin; end if; end $$`)
  if (login !== undefined) {
    const name = client.escapeIdentifier(login.name)
    if (login.password !== undefined) {
      const exists = await client.query('select from pg_roles where rolname = $1', [login.name])
      const verb = exists.rowCount === 0 ? 'create' : 'alter'
      await client.query(
        `${verb} role ${name} login noinherit nosuperuser nocreatedb nocreaterole password ${client.escapeLiteral(login.password)}`,
      )
    }
    await client.query(`grant nomaly_app, nomaly_system to ${name}`)
  }
  const current = await client.query<{ name: string; super: boolean }>(
    'select rolname as name, rolsuper as super from pg_roles where rolname = current_user',
  )
  const { name, super: isSuperuser } = current.rows[0]!
  // Migrations run as the owner, and make the queue's tables as the system.
  // They become these roles by name; that the login has their rights all the time would be too much, where that can be told apart.
  const mode = version >= 160_000 ? 'with inherit false, set true' : ''
  if (!isSuperuser)
    await client.query(
      `grant nomaly_owner, nomaly_app, nomaly_system to ${client.escapeIdentifier(name)} ${mode}`,
    )
}

async function createSchemas(client: pg.Client): Promise<void> {
  await client.query(`
    create schema if not exists nomaly authorization nomaly_owner;
    create schema if not exists metrics authorization nomaly_owner;
    create schema if not exists pgboss authorization nomaly_system;
    set role nomaly_owner;
    grant usage on schema nomaly, metrics to nomaly_app, nomaly_system;
    reset role;`)
}

/** Applies what is new of one set, as the owner, and remembers the checksum of each file. */
async function applySet(client: pg.Client, set: MigrationSet | 'foundation'): Promise<string[]> {
  const directory = join(MIGRATIONS_DIRECTORY, set)
  const checksums = await readChecksums(directory)
  await client.query('set role nomaly_owner')
  await client.query(
    `create table if not exists nomaly.migration_checksums
       (set_name text, name text, sha256 text not null, primary key (set_name, name))`,
  )
  await verifyChecksums(client, set, checksums)
  const migrations = await runner({
    dbClient: client,
    dir: directory,
    direction: 'up',
    migrationsTable: historyTable(set),
    migrationsSchema: 'nomaly',
    schema: 'nomaly',
    noLock: true,
    log: () => {},
  })
  await recordChecksums(client, set, checksums)
  // Not where something failed: the connection ends then, and this would hide why.
  await client.query('reset role')
  return migrations.map(({ name }) => `${set}/${name}`)
}

async function readChecksums(directory: string): Promise<Map<string, string>> {
  const files = (await readdir(directory)).filter((file) => file.endsWith('.sql')).toSorted()
  const entries = files.map(async (file) => {
    const text = await readFile(join(directory, file))
    return [file.replace(/\.sql$/, ''), createHash('sha256').update(text).digest('hex')] as const
  })
  return new Map(await Promise.all(entries))
}

/** Of every file that was applied: also of those whose checksum a killed process had no time to write. */
async function recordChecksums(
  client: pg.Client,
  set: string,
  checksums: Map<string, string>,
): Promise<void> {
  const applied = await client.query<{ name: string }>(`select name from nomaly.${historyTable(set)}`)
  for (const { name } of applied.rows)
    await client.query('insert into nomaly.migration_checksums values ($1, $2, $3) on conflict do nothing', [
      set,
      name,
      checksums.get(name),
    ])
}

function historyTable(set: string): string {
  return `migrations_${set.replaceAll('-', '_')}`
}

async function verifyChecksums(
  client: pg.Client,
  set: string,
  checksums: Map<string, string>,
): Promise<void> {
  const applied = await client.query<{ name: string; sha256: string }>(
    'select name, sha256 from nomaly.migration_checksums where set_name = $1',
    [set],
  )
  for (const { name, sha256 } of applied.rows) {
    const expected = checksums.get(name)
    if (expected === undefined)
      throw new NomalyError(
        'conflict',
        `The database has migration ${set}/${name}, which this version does not know.`,
        {
          hint: 'A newer version of Nomaly has used this database: install that version or a later one.',
        },
      )
    if (expected !== sha256)
      throw new NomalyError('conflict', `Migration ${set}/${name} was changed after it had been applied.`, {
        hint: 'Reinstall Nomaly: its files differ from those that made this database.',
      })
  }
}

/** The queue's own tables, made by its library, owned by the system role. */
async function migrateQueue(client: pg.Client): Promise<void> {
  await client.query('set role nomaly_system')
  const boss = new PgBoss({
    schema: 'pgboss',
    createSchema: false,
    migrate: true,
    supervise: false,
    schedule: false,
    registerInstance: false,
    db: { executeSql: async (text, values) => client.query(text, values as unknown[]) },
  })
  await boss.start()
  await boss.stop({ graceful: false, close: false })
  await client.query('reset role')
}
