import { randomInt } from 'node:crypto'
import type pg from 'pg'
import { connectClient } from '../database/connect.ts'
import {
  CORE_DATABASE,
  type DatabaseLabel,
  METRICS_DATABASE,
  sqlState,
  toNomalyError,
} from '../database/database-errors.ts'
import {
  type DatabaseState,
  HAS_NOTE,
  hasTable,
  type NoteRow,
  READ_NOTE,
  requireFitting,
  toNote,
} from '../database/installation.ts'
import { NomalyError } from '../errors.ts'

/** Addresses for a login that may do what migrations do. */
export interface DatabasePair {
  readonly coreUrl: string
  /** `undefined` where metrics are in the core database. */
  readonly metricsUrl: string | undefined
}

/**
 * Makes sure that these databases are those of one installation, or can become so, before anything is changed in them.
 * @throws NomalyError `conflict`.
 */
export async function checkDatabases(pair: DatabasePair): Promise<void> {
  await withClients(pair, async (core, metrics) => {
    requireFitting(await readState(core), metrics && (await readState(metrics)))
  })
}

/**
 * Notes in databases that have just been migrated whose they are. May be repeated, and be cut short anywhere: the core has its id before
 * the metrics know it, and relies on them only once they do.
 * @throws NomalyError `conflict`.
 */
export async function joinDatabases(pair: DatabasePair): Promise<void> {
  await withClients(pair, async (core, metrics) => {
    await asOwner(core, () =>
      core.query(
        "insert into nomaly.installation (id, holds) values (gen_random_uuid(), 'everything') on conflict do nothing",
      ),
    )
    const { note } = await readState(core)
    if (metrics === undefined) return
    await asOwner(metrics, () =>
      metrics.query(
        `insert into nomaly.installation (id, holds, metrics_id) values ($1, 'metrics', gen_random_uuid())
         on conflict do nothing`,
        [note!.id],
      ),
    )
    const joined = await readState(metrics)
    requireFitting(await readState(core), joined)
    await leaveMetricsTo(core, joined.note!.metricsId!)
    requireFitting(await readState(core), joined)
    await keepIdsApart(core, metrics)
  })
}

/** From here on no point goes into the core, not even from a process that knows of no other database. */
async function leaveMetricsTo(core: pg.Client, metricsId: string): Promise<void> {
  await core.query('begin')
  // Waits for the writes that are under way: what they write is seen below, and those that come later see what is noted.
  await core.query("select pg_advisory_xact_lock(hashtextextended('nomaly metrics move', 0))")
  if (!(await readState(core)).hasMetrics)
    await asOwner(core, () =>
      core.query(
        "update nomaly.installation set holds = 'core', metrics_id = $1 where holds = 'everything'",
        [metricsId],
      ),
    )
  await core.query('commit')
}

/**
 * Metrics restored to an older state have forgotten the newest ids: given again, they would be taken for the series that findings and
 * detectors speak of.
 */
async function keepIdsApart(core: pg.Client, metrics: pg.Client): Promise<void> {
  const { rows } = await asSystem(core, () =>
    core.query<{ id: number | null }>(
      `select greatest((select max(series_id) from nomaly.detector_states),
                       (select max(series_id) from nomaly.anomalies)) as id`,
    ),
  )
  await asOwner(metrics, () =>
    metrics.query(
      "select setval('metrics.series_id_seq', $1::int8) from metrics.series_id_seq where last_value < $1::int8",
      [rows[0]!.id ?? 0],
    ),
  )
}

async function readState(client: pg.Client): Promise<DatabaseState> {
  const found = await client.query<{ exists: boolean }>(HAS_NOTE)
  if (!found.rows[0]!.exists) return { note: undefined, hasMetrics: false }
  return asSystem(client, async () => {
    const notes = await client.query<NoteRow>(READ_NOTE)
    const tables = await client.query<{ exists: boolean }>(hasTable('metrics', 'logins'))
    const some = tables.rows[0]!.exists
      ? await client.query<{ exists: boolean }>(
          'select exists(select from metrics.latest_points) or exists(select from metrics.logins) as exists',
        )
      : tables
    return { note: toNote(notes.rows[0]), hasMetrics: some.rows[0]!.exists }
  })
}

function asOwner<T>(client: pg.Client, work: () => Promise<T>): Promise<T> {
  return as(client, 'nomaly_owner', work)
}

function asSystem<T>(client: pg.Client, work: () => Promise<T>): Promise<T> {
  return as(client, 'nomaly_system', work)
}

/** Not undone where something fails: the connection ends then. */
async function as<T>(client: pg.Client, role: string, work: () => Promise<T>): Promise<T> {
  await client.query(`set role ${role}`)
  const value = await work()
  await client.query('reset role')
  return value
}

async function withClients(
  { coreUrl, metricsUrl }: DatabasePair,
  work: (core: pg.Client, metrics: pg.Client | undefined) => Promise<void>,
): Promise<void> {
  await using stack = new AsyncDisposableStack()
  const open = async (url: string, label: DatabaseLabel): Promise<pg.Client> => {
    const client = await connectClient(url, { application_name: 'nomaly migrate' }).catch(
      (error: unknown) => {
        throw explainRefusal(error, label)
      },
    )
    stack.defer(() => client.end())
    await client.query("set lock_timeout = '30s'")
    return client
  }
  const core = await open(coreUrl, CORE_DATABASE)
  if (metricsUrl === undefined) return await work(core, undefined)
  const metrics = await open(metricsUrl, METRICS_DATABASE)
  await requireTwo(core, metrics)
  await work(core, metrics)
}

/** A login that is not let in, or a database that there is not, is what whoever starts this can do something about. */
function explainRefusal(error: unknown, label: DatabaseLabel): unknown {
  if (!/^(28...|3D000)$/.test(sqlState(error) ?? '')) return toNomalyError(error, label)
  const variable = label === METRICS_DATABASE ? 'METRICS_DATABASE_URL' : 'DATABASE_URL'
  return new NomalyError(
    'invalid_input',
    `The ${label.name} does not let us in: ${(error as Error).message}.`,
    {
      hint: `Correct ${variable}, or what migrations use instead of it; the database must exist.`,
      cause: error,
    },
  )
}

/** Addresses may differ and lead to the same database: what one connection has locked, the other then cannot. */
async function requireTwo(core: pg.Client, metrics: pg.Client): Promise<void> {
  const key = [randomInt(2 ** 31), randomInt(2 ** 31)]
  await core.query('select pg_advisory_lock($1, $2)', key)
  const { rows } = await metrics.query<{ isOther: boolean }>(
    'select pg_try_advisory_lock($1, $2) as "isOther"',
    key,
  )
  await core.query('select pg_advisory_unlock($1, $2)', key)
  if (rows[0]!.isOther) return
  throw new NomalyError('conflict', 'METRICS_DATABASE_URL and DATABASE_URL name the same database.', {
    hint: 'Leave METRICS_DATABASE_URL unset, or give the metrics an empty database of their own.',
  })
}
