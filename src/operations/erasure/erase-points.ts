import type { Database } from '../../database/database.ts'
import { NomalyError } from '../../errors.ts'
import type { MetricsEngine, SeriesId } from '../../metrics/metrics-engine.ts'
import type { MoveSide } from '../../metrics/move-side.ts'
import { RETENTION_CLASSES } from '../../metrics/retention.ts'
import { readState } from '../move/move-lifecycle.ts'
import { revokeSql } from '../sql-logins.ts'
import type { AdminSession } from './admin-session.ts'
import type { ErasedCounts, SeriesSubject, TenantSubject } from './erasure.ts'
import { deleteRows } from './tenant-tables.ts'

/** The database that has the points, as an erasure works on it. */
export interface MetricsSite {
  readonly admin: AdminSession
  readonly adminUrl: string
  readonly database: Database
  /** Both engines: points may have been moved from one to the other. */
  readonly sides: Readonly<Record<MetricsEngine['name'], MoveSide>>
}

interface Source {
  readonly id: string
  readonly series: readonly SeriesId[]
}

/** Series whose points one statement counts or looks for. */
const SERIES_AT_ONCE = 10_000

/** The engine that keeps the points. @throws NomalyError `conflict` while they are being moved. */
export async function findEngine({ database, sides }: MetricsSite): Promise<MoveSide> {
  const { name, movingTo } = await readState(database)
  if (movingTo === undefined) return sides[name]
  throw new NomalyError('conflict', 'The points are being moved from one engine to the other.', {
    hint: 'Wait for `nomaly metrics move`, or give it up with `nomaly metrics move --cancel`; then erase.',
  })
}

/**
 * The engine that keeps the points, once it is certain that the other one has none.
 * @throws NomalyError `conflict` while points are being moved, or what they were moved from is still being read.
 */
export async function requireOneEngine(site: MetricsSite): Promise<MoveSide> {
  const side = await findEngine(site)
  const { database, sides } = site
  const { name } = side.engine
  const former = sides[name === 'timescale' ? 'partitioned' : 'timescale']
  const read = { role: 'nomaly_system', freshness: 'latest' } as const
  const isEmpty = await database.read(read, async (connection) => {
    if (!(await former.exists(connection))) return true
    for (const retention of RETENTION_CLASSES)
      if ((await former.ranges(connection, retention)).length > 0) return false
    return true
  })
  if (!isEmpty && !(await former.clear('closed')))
    throw new NomalyError('conflict', 'The tables that the points were moved from are still being read.', {
      hint: `Call \`nomaly metrics move --to ${name}\` again when what reads them has ended; then erase.`,
    })
  return side
}

/** What of the metrics belongs to a subject: sources with their series. */
export async function findSources(
  { admin }: MetricsSite,
  subject: TenantSubject | SeriesSubject,
): Promise<Source[]> {
  const [condition, values] =
    subject.kind === 'tenant'
      ? ['tenant_id = $1', [subject.tenantId]]
      : ['tenant_id = $1 and id = any($2::int4[])', [subject.tenantId, seriesOf(subject)]]
  const rows = await admin.ask<{ id: string; series: SeriesId[] }>(
    'nomaly_system',
    `select source_id as id, array_agg(id order by id) as series from metrics.series where ${condition} group by 1 order by 1`,
    values,
  )
  if (subject.kind === 'series') return rows
  // A backfill may have gathered points of a source that has none yet.
  const backfilled = await admin.ask<{ id: string }>(
    'nomaly_system',
    'select distinct source_id as id from metrics.backfills where tenant_id = $1',
    [subject.tenantId],
  )
  const known = new Set(rows.map(({ id }) => id))
  return [...rows, ...backfilled.filter(({ id }) => !known.has(id)).map(({ id }) => ({ id, series: [] }))]
}

function seriesOf({ sources }: SeriesSubject): SeriesId[] {
  return sources.flatMap(({ series }) => series)
}

/** How many series and points there are. */
export async function countPoints(
  { admin }: MetricsSite,
  { relations }: MoveSide,
  sources: readonly Source[],
): Promise<ErasedCounts> {
  const series = sources.flatMap((source) => source.series)
  let points = 0
  for (let start = 0; start < series.length; start += SERIES_AT_ONCE)
    for (const retention of RETENTION_CLASSES) {
      const [row] = await admin.ask<{ count: string }>(
        'nomaly_system',
        `select count(*) as count from ${relations.points(retention)} where series_id = any($1::int4[])`,
        [series.slice(start, start + SERIES_AT_ONCE)],
      )
      points += Number(row!.count)
    }
  return { series: series.length, points }
}

/** Removes series with their points and roll-ups, and of a tenant its database logins and all else that is in this database. */
export async function erasePoints(
  site: MetricsSite,
  { engine }: MoveSide,
  subject: TenantSubject | SeriesSubject,
  sources: readonly Source[],
  onSource: (done: number) => void,
  signal: AbortSignal,
): Promise<ErasedCounts> {
  const { tenantId } = subject
  const logins = subject.kind === 'tenant' ? await dropLogins(site, tenantId) : 0
  let [series, done] = [0, 0]
  for (const source of sources) {
    signal.throwIfAborted()
    const scope = { tenantId }
    series +=
      subject.kind === 'tenant'
        ? await engine.dropSource(scope, source.id)
        : await engine.dropSeries(scope, source.id, source.series)
    onSource(++done)
  }
  if (subject.kind === 'series') return { series }
  const rest = await site.admin.transaction(async (run) => {
    await run.become('nomaly_system')
    return (await deleteRows(run, 'metrics', tenantId)) + (await deleteRows(run, 'nomaly', tenantId))
  })
  return { series, logins, leftovers: rest }
}

/** First of all: what a login writes would come back. */
async function dropLogins({ admin, adminUrl }: MetricsSite, tenantId: string): Promise<number> {
  const logins = await admin.ask<{ login: string }>(
    'nomaly_system',
    'select login::text as login from metrics.logins where tenant_id = $1 order by 1',
    [tenantId],
  )
  for (const { login } of logins) await revokeSql(adminUrl, login)
  return logins.length
}
