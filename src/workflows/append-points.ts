import type { TenantScope } from '../access/tenant-scope.ts'
import type { Committed } from '../database/position.ts'
import type { Dataset } from '../datasets/dataset.ts'
import type { RejectedLine } from '../ingestion/parsed-points.ts'
import type {
  AppendReport,
  CorrectionReport,
  MetricsEngine,
  PointBatch,
  RejectedPoint,
} from '../metrics/metrics-engine.ts'
import type { Store } from '../store/store.ts'
import type { ReadPoints } from './read-points.ts'

/** How many refused lines an answer lists; the rest is only counted. */
const LISTED = 100

/** What became of the lines of an input. */
export interface LineReport {
  readonly rejected: readonly RejectedLine[]
  readonly rejectedTotal: number
}

type Counts<R> = Omit<R, 'rejected' | 'rejectedTotal'> & LineReport

/** Stores the points of an input in a dataset, `through` a buffer where there is one, in one transaction, and tells those who watch it. */
export async function appendPoints(
  store: Store,
  scope: TenantScope,
  dataset: Dataset,
  points: ReadPoints,
  signal?: AbortSignal,
  through: Pick<MetricsEngine, 'append'> = store.metrics,
): Promise<Committed<Counts<AppendReport>>> {
  const { value, position } = await through.append(scope, toBatch(dataset, points), signal)
  if (value.inserted > 0) tellWatchers(store, scope, dataset)
  const { inserted, duplicates, conflicting } = value
  return { value: { inserted, duplicates, conflicting, ...lineReport(points, value) }, position }
}

/** Overwrites points of a dataset, in one transaction. What detectors have concluded from the old values stays. */
export async function correctPoints(
  store: Store,
  scope: TenantScope,
  dataset: Dataset,
  points: ReadPoints,
  signal?: AbortSignal,
): Promise<Committed<Counts<CorrectionReport>>> {
  const { value, position } = await store.metrics.correct(scope, toBatch(dataset, points), signal)
  if (value.changed + value.inserted > 0) tellWatchers(store, scope, dataset)
  const { changed, inserted, unchanged } = value
  return { value: { changed, inserted, unchanged, ...lineReport(points, value) }, position }
}

function tellWatchers(store: Store, scope: TenantScope, dataset: Dataset): void {
  store.notifier.publish({ channel: 'points', tenantId: scope.tenantId, id: dataset.id })
}

function toBatch(dataset: Dataset, { keys, series, timesMs, values }: ReadPoints): PointBatch {
  return {
    source: { kind: 'dataset', id: dataset.id, retention: dataset.retention },
    keys,
    series,
    timesMs,
    values,
  }
}

/** Joins what parsing and what the engine refused, by line. */
function lineReport(
  points: ReadPoints,
  report: { readonly rejected: readonly RejectedPoint[]; readonly rejectedTotal: number },
): LineReport {
  const refused = report.rejected.map(({ index, reason }) => ({ line: points.lines[index]!, reason }))
  return {
    rejected: [...points.rejected, ...refused].toSorted((a, b) => a.line - b.line).slice(0, LISTED),
    rejectedTotal: points.rejectedTotal + report.rejectedTotal,
  }
}
