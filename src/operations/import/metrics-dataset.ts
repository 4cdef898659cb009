import type { Connection } from '../../database/connection.ts'
import type { RetentionClass, SeriesSource } from '../../metrics/metrics-engine.ts'
import { derivedId } from './source-id.ts'
import { storeRows } from './store-rows.ts'
import { TARGETS } from './target-table.ts'

const NAME = 'pynomaly-metrics'

/** The dataset that the metrics of the original go to, one in each tenant; made where it is missing, as `nomaly_system`. */
export async function ensureMetricsDataset(
  connection: Connection,
  tenantId: string,
  createdAt: string,
): Promise<SeriesSource> {
  const id = derivedId('metrics', tenantId)
  const values = {
    id,
    tenant_id: tenantId,
    name: NAME,
    description: 'What Pynomaly measured of itself and of its detectors.',
    metadata: '{"importedFrom":"pynomaly"}',
    created_at: createdAt,
    updated_at: createdAt,
  }
  const named = { column: 'name', fallback: `${NAME}-${id.slice(0, 8)}`, within: ['tenant_id'] }
  await storeRows(connection, TARGETS.datasets, [{ table: TARGETS.datasets, values, named }])
  const [row] = await connection.query<{ retention: RetentionClass }>(
    'select retention from nomaly.datasets where id = $1',
    [id],
  )
  return { kind: 'dataset', id, retention: row!.retention }
}
