import type { Connection } from '../database/connection.ts'
import type { Database } from '../database/database.ts'
import type { Orphan } from '../database/orphans.ts'
import { readWatchedSeries, type WatchedSeries } from '../jobs/watched-series.ts'
import { readJobSources, readSources, readSourcesOf, type StoredSource } from '../metrics/stored-sources.ts'
import type { Store } from '../store/store.ts'

/** What a search through all of one side has found. */
export interface OrphanSearch {
  /** How many there are, orphans or not. */
  readonly total: number
  /** At most {@link MAX_ORPHANS}; who comes next finds the rest. */
  readonly orphans: readonly Orphan[]
  /** How many orphans there are of which nobody knows why. */
  readonly unexplained: number
}

/** All that is asked of a store here. */
export type BothDatabases = Pick<Store, 'database' | 'metricsDatabase'>

const MAX_ORPHANS = 10_000
const PAGE = 1_000

/**
 * Sources with points whose dataset the core does not have. Series of jobs are left alone: they are written through `anomaly_metrics`, by
 * those who name jobs as they like. Metrics are read first: a dataset that is made meanwhile is in the core before it has points.
 */
export async function findOrphanedSources(store: BothDatabases, signal: AbortSignal): Promise<OrphanSearch> {
  const orphans: Orphan[] = []
  let [total, unexplained] = [0, 0]
  let last: StoredSource | undefined
  for (;;) {
    const page = await read(store.metricsDatabase, signal, (connection) =>
      readSources(connection, last, PAGE),
    )
    const ofDatasets = page.filter(({ kind }) => kind === 'dataset')
    total += ofDatasets.length
    const gone = await withoutDataset(store, ofDatasets, signal)
    unexplained += gone.filter(({ wasDeleted }) => !wasDeleted).length
    for (const { tenantId, id } of gone) orphans.push({ tenantId, ownerId: id, seriesId: 0 })
    if (page.length < PAGE) break
    last = page.at(-1)
  }
  const kept = orphans.slice(0, MAX_ORPHANS)
  // Removal goes by the id alone, and would take the series of a job of that name along.
  const shared = await read(store.metricsDatabase, signal, (connection) =>
    readJobSources(
      connection,
      kept.map(({ ownerId }) => ownerId),
    ),
  )
  return { total, unexplained, orphans: kept.filter(({ ownerId }) => !shared.has(ownerId)) }
}

/** Those of these sources that the core has no dataset for, and whether its audit log says that somebody deleted it. */
async function withoutDataset(
  store: BothDatabases,
  sources: readonly StoredSource[],
  signal: AbortSignal,
): Promise<(StoredSource & { readonly wasDeleted: boolean })[]> {
  if (sources.length === 0) return []
  return read(store.database, signal, async (connection) => {
    const rows = await connection.query<{ id: string; tenantId: string }>(
      'select id, tenant_id as "tenantId" from nomaly.datasets where id = any($1::uuid[])',
      [sources.map(({ id }) => id)],
    )
    const known = new Set(rows.map(({ id, tenantId }) => `${tenantId} ${id}`))
    const gone = sources.filter(({ id, tenantId }) => !known.has(`${tenantId} ${id}`))
    if (gone.length === 0) return []
    const deletions = await connection.query<{ id: string }>(
      `select subject_id as id from nomaly.audit_log
       where tenant_id = any($1::uuid[]) and action = 'dataset.delete' and subject_id = any($2::text[])`,
      [[...new Set(gone.map(({ tenantId }) => tenantId))], gone.map(({ id }) => id)],
    )
    const deleted = new Set(deletions.map(({ id }) => id))
    return gone.map((source) => ({ ...source, wasDeleted: deleted.has(source.id) }))
  })
}

/**
 * What detectors have learnt of series that the metrics do not have, or have for another dataset. The core is read first: a series that is
 * made meanwhile is in the metrics before anybody learns of it.
 */
export async function findOrphanedStates(store: BothDatabases, signal: AbortSignal): Promise<OrphanSearch> {
  const orphans: Orphan[] = []
  let [total, unexplained] = [0, 0]
  let last: WatchedSeries | undefined
  for (;;) {
    const page = await read(store.database, signal, (connection) => readWatchedSeries(connection, last, PAGE))
    const ids = page.map(({ seriesId }) => seriesId)
    const sources = await read(store.metricsDatabase, signal, (connection) => readSourcesOf(connection, ids))
    const gone = page.filter((one) => {
      const source = sources.get(one.seriesId)
      return source?.id !== one.datasetId || source.tenantId !== one.tenantId
    })
    total += page.length
    unexplained += gone.length
    if (orphans.length < MAX_ORPHANS)
      for (const { tenantId, jobId, seriesId } of gone) orphans.push({ tenantId, ownerId: jobId, seriesId })
    if (page.length < PAGE) break
    last = page.at(-1)
  }
  return { total, unexplained, orphans: orphans.slice(0, MAX_ORPHANS) }
}

function read<T>(
  database: Database,
  signal: AbortSignal,
  work: (connection: Connection) => Promise<T>,
): Promise<T> {
  return database.read({ role: 'nomaly_system', freshness: 'latest', signal }, work)
}
