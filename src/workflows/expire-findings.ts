import type { RetentionClass } from '../metrics/metrics-engine.ts'
import { RETENTION_CLASSES, retentionCutoffMs } from '../metrics/retention.ts'
import type { Store } from '../store/store.ts'

/** Findings that one transaction removes, with the entry of the audit log that says so. */
const AT_ONCE = 5_000

interface DueDataset {
  readonly tenantId: string
  readonly id: string
  readonly retention: RetentionClass
}

/**
 * Removes findings of datasets whose points are not kept forever, once their end is as old as these points may get; nothing where
 * `NOMALY_FINDING_RETENTION` keeps all. Any number of processes may call it at once; one that is stopped leaves the rest to the next.
 * @returns how many findings were removed.
 */
export async function expireFindings(store: Store, now: Date, signal: AbortSignal): Promise<number> {
  if (store.liveSettings.values.findingRetention === 'forever') return 0
  const nowMs = now.getTime()
  let removed = 0
  for (const dataset of await findDue(store, nowMs, signal)) {
    const before = new Date(retentionCutoffMs(dataset.retention, nowMs))
    for (let last = AT_ONCE; last === AT_ONCE; removed += last) {
      signal.throwIfAborted()
      last = await expireSome(store, dataset, before, signal)
    }
  }
  return removed
}

async function findDue(store: Store, nowMs: number, signal: AbortSignal): Promise<readonly DueDataset[]> {
  const classes = RETENTION_CLASSES.filter((retention) =>
    Number.isFinite(retentionCutoffMs(retention, nowMs)),
  )
  return store.database.read({ role: 'nomaly_system', freshness: 'latest', signal }, (connection) =>
    connection.query<DueDataset & Record<string, unknown>>(
      `select d.tenant_id as "tenantId", d.id, d.retention
       from nomaly.datasets d join unnest($1::text[], $2::timestamptz[]) c(retention, before) using (retention)
       where exists (select from nomaly.anomalies a where a.dataset_id = d.id and a.ended_at < c.before)
       order by 1, 2`,
      [classes, classes.map((retention) => new Date(retentionCutoffMs(retention, nowMs)))],
    ),
  )
}

async function expireSome(
  store: Store,
  { tenantId, id, retention }: DueDataset,
  before: Date,
  signal: AbortSignal,
): Promise<number> {
  const { value } = await store.transaction(
    { tenantId },
    async (unit) => {
      const findings = await unit.anomalies.removeEndedBefore(id, before, AT_ONCE)
      if (findings > 0)
        await unit.audit.record(
          'system',
          'anomaly.expire',
          { kind: 'dataset', id },
          { findings, retention, before: before.toISOString() },
        )
      return findings
    },
    signal,
  )
  return value
}
