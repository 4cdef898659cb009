import pg from 'pg'
import { connectClient } from '../database/connect.ts'
import { hasTable } from '../database/installation.ts'
import { NomalyError } from '../errors.ts'
import type { MetricsEngine } from '../metrics/metrics-engine.ts'

/** What keeps the metrics of a database. */
export type EngineName = MetricsEngine['name']

export interface EngineChoice {
  readonly name: EngineName
  /** A sentence on why it is not `timescale`, where the server has something of it. */
  readonly reason?: string
}

/** The oldest version whose columnstore and continuous aggregates do what is asked of them. */
const OLDEST_VERSION = [2, 20] as const

interface Obstacle {
  readonly reason: string
  readonly hint: string
}

/**
 * Finds out which engine keeps the metrics of a database, or will: what was chosen once stays, whatever the server offers later. Makes the
 * extension where it is needed.
 * @throws NomalyError `conflict` where another one is wanted than the database has, `invalid_input` where it cannot be had.
 */
export async function chooseMetricsEngine(
  adminUrl: string,
  wanted: EngineName | 'auto',
): Promise<EngineChoice> {
  const client = await connectClient(adminUrl, { application_name: 'nomaly migrate' })
  try {
    const chosen = await readChosen(client)
    if (chosen !== undefined) {
      if (wanted !== 'auto' && wanted !== chosen) throw alreadyChosen(chosen, wanted)
      return { name: chosen }
    }
    if (wanted === 'partitioned') return { name: 'partitioned' }
    const obstacle = await prepareTimescale(client)
    if (obstacle === undefined) return { name: 'timescale' }
    if (wanted === 'timescale')
      throw new NomalyError('invalid_input', `Metrics cannot be kept in TimescaleDB: ${obstacle.reason}.`, {
        hint: `${obstacle.hint} Or set NOMALY_METRICS_ENGINE=partitioned.`,
      })
    const isAbsent = obstacle === NOT_OFFERED
    return isAbsent
      ? { name: 'partitioned' }
      : { name: 'partitioned', reason: `${obstacle.reason}. ${obstacle.hint}` }
  } finally {
    await client.end()
  }
}

/** Makes the extension in a database that keeps its metrics without. @throws NomalyError `invalid_input` saying what is missing. */
export async function requireTimescale(adminUrl: string): Promise<void> {
  const client = await connectClient(adminUrl, { application_name: 'nomaly migrate' })
  try {
    const obstacle = await prepareTimescale(client)
    if (obstacle === undefined) return
    throw new NomalyError('invalid_input', `Metrics cannot be kept in TimescaleDB: ${obstacle.reason}.`, {
      hint: obstacle.hint,
    })
  } finally {
    await client.end()
  }
}

/** Notes the engine of a database that has just been migrated for it. */
export async function rememberMetricsEngine(adminUrl: string, { name }: EngineChoice): Promise<void> {
  const client = await connectClient(adminUrl, { application_name: 'nomaly migrate' })
  try {
    await client.query('set role nomaly_owner')
    await client.query(
      `insert into metrics.engine (name) values ($1)
       on conflict (only_row) do update set name = excluded.name, chosen_at = now() where engine.name <> excluded.name`,
      [name],
    )
  } finally {
    await client.end()
  }
}

async function readChosen(client: pg.Client): Promise<EngineName | undefined> {
  const found = await client.query<{ exists: boolean }>(hasTable('metrics', 'engine'))
  if (!found.rows[0]!.exists) return undefined
  const rows = await asOwner<{ name: EngineName }>(client, 'select name from metrics.engine')
  if (rows[0]?.name === 'timescale') return 'timescale'
  // As long as nothing was stored it may still be either.
  const some = await asOwner(client, 'select from metrics.latest_points limit 1')
  return some.length === 0 ? undefined : 'partitioned'
}

async function asOwner<Row extends pg.QueryResultRow>(client: pg.Client, statement: string): Promise<Row[]> {
  await client.query('set role nomaly_owner')
  const { rows } = await client.query<Row>(statement)
  await client.query('reset role')
  return rows
}

const NOT_OFFERED: Obstacle = {
  reason: 'this server does not offer the extension timescaledb',
  hint: 'Install TimescaleDB 2.20 or newer on the server.',
}

/** Makes the extension and looks at what it can do; leaves nothing behind where that is not enough. */
async function prepareTimescale(client: pg.Client): Promise<Obstacle | undefined> {
  const available = await client.query<{
    offered: string
    installed: string | null
    preloaded: string | null
    schema: string | null
  }>(
    `select default_version as offered, installed_version as installed,
       (select extnamespace::regnamespace::text from pg_extension where extname = 'timescaledb') as schema,
       current_setting('timescaledb.max_background_workers', true) as preloaded
     from pg_available_extensions where name = 'timescaledb'`,
  )
  const row = available.rows[0]
  if (row === undefined) return NOT_OFFERED
  const version = row.installed ?? row.offered
  if (!isNewEnough(version))
    return {
      reason: `TimescaleDB ${version} is older than ${OLDEST_VERSION.join('.')}`,
      hint: 'Upgrade it, and run `alter extension timescaledb update`.',
    }
  if (row.preloaded === null)
    return {
      reason: 'the server offers TimescaleDB but has not loaded it',
      hint: 'Add timescaledb to shared_preload_libraries in postgresql.conf, and restart the server.',
    }
  if (row.schema !== null && row.schema !== 'public')
    return {
      reason: `the extension timescaledb stands in the schema ${row.schema} of this database, not in public`,
      hint: 'It cannot be moved: use another database.',
    }
  await client.query('begin')
  try {
    if (row.installed === null) await client.query('create extension timescaledb schema public')
    await client.query('select 1')
    const license = await client.query<{ license: string | null }>(
      "select current_setting('timescaledb.license', true) as license",
    )
    if (license.rows[0]!.license === 'timescale') {
      await client.query('commit')
      return undefined
    }
    await client.query('rollback')
    return {
      reason: `this is the Apache edition of TimescaleDB, which has no columnstore, no continuous aggregates and no jobs`,
      hint: 'Install the community edition, or set timescaledb.license = timescale where its files are there.',
    }
  } catch (error) {
    await client.query('rollback').catch(() => {})
    if (!(error instanceof pg.DatabaseError)) throw error
    return {
      reason: `the extension timescaledb could not be made: ${error.message}`,
      hint: 'Let a superuser run `create extension timescaledb` in this database.',
    }
  }
}

function isNewEnough(version: string): boolean {
  const [major = 0, minor = 0] = version.split('.').map((part) => Number.parseInt(part, 10))
  return major > OLDEST_VERSION[0] || (major === OLDEST_VERSION[0] && minor >= OLDEST_VERSION[1])
}

function alreadyChosen(chosen: EngineName, wanted: EngineName): NomalyError {
  return new NomalyError(
    'conflict',
    `NOMALY_METRICS_ENGINE is ${wanted}, but this database keeps its metrics in ${chosen}.`,
    {
      hint: `Leave it unset, or at auto: it only decides for a database that has no metrics yet. \`nomaly metrics move --to ${wanted}\` moves those that there are.`,
    },
  )
}
