import type { Connection } from '../database/connection.ts'
import type { Database } from '../database/database.ts'
import { NomalyError, notFound } from '../errors.ts'
import type { SeriesSource } from '../metrics/metrics-engine.ts'

/** Asked in the transaction of every write of points, once its source is locked; throws where that may not be written. */
export type RequireSource = (connection: Connection, source: SeriesSource) => Promise<void>

/** Keeps points from being stored for a dataset that was deleted while they were on their way; for metrics in the core database. */
export const requireDataset: RequireSource = async (connection, { kind, id }) => {
  const [found] = await connection.query<{ holds: string | null; exists: boolean }>(
    `select (select holds from nomaly.installation) as holds,
       exists(select from nomaly.datasets where id = $1) as exists`,
    [id],
  )
  // Another process was started with METRICS_DATABASE_URL meanwhile: what is written here nobody would see.
  if (found!.holds === 'core')
    throw new NomalyError(
      'unavailable',
      'The metrics of this installation are in another database since this process began.',
      {
        hint: 'Start this process again, with METRICS_DATABASE_URL.',
        retryAfterSeconds: 30,
      },
    )
  if (kind === 'dataset' && !found!.exists) throw notFound('dataset', id)
}

/**
 * The same, for metrics in a database of their own. A dataset that is deleted after this look is no harm: its points are removed by who has
 * the source alone, and so after this write.
 */
export function requireDatasetOf(core: Database): RequireSource {
  return async (connection, { kind, id }) => {
    if (kind !== 'dataset') return
    const [row] = await connection.query<{ tenantId: string }>('select nomaly.current_tenant() as "tenantId"')
    const scope = { tenantId: row!.tenantId }
    const rows = await core.read({ role: 'nomaly_app', scope, freshness: 'latest' }, (inCore) =>
      inCore.query('select from nomaly.datasets where id = $1', [id]),
    )
    if (rows.length === 0) throw notFound('dataset', id)
  }
}
