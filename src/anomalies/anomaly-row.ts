import type { Selectable } from 'kysely'
import type { Anomalies } from '../database/core-tables.ts'
import { toTimestamp } from '../database/timestamp.ts'
import type { Finding, Severity } from '../detection/finding.ts'
import type { Anomaly, AnomalyState } from './anomaly.ts'
import type { FindingSource } from './anomaly-repository.ts'

/** The columns that an {@link Anomaly} is read from. */
export const ANOMALY_COLUMNS = [
  'anomalies.id',
  'anomalies.job_id',
  'anomalies.run_id',
  'anomalies.dataset_id',
  'anomalies.series_id',
  'anomalies.metric',
  'anomalies.tags',
  'anomalies.started_at',
  'anomalies.ended_at',
  'anomalies.detected_at',
  'anomalies.peak_at',
  'anomalies.observed',
  'anomalies.expected',
  'anomalies.lower_bound',
  'anomalies.upper_bound',
  'anomalies.score',
  'anomalies.detected_score',
  'anomalies.probability',
  'anomalies.severity',
  'anomalies.direction',
  'anomalies.algorithm',
  'anomalies.explanation',
  'anomalies.ongoing',
  'anomalies.state',
  'anomalies.note',
  'anomalies.state_changed_at',
  'anomalies.state_changed_by',
  'anomalies.created_at',
] as const

type AnomalyRow = Omit<Selectable<Anomalies>, 'tenant_id' | 'updated_at'> & { dataset_name: string }

/** The row that a finding is stored as. */
// eslint-disable-next-line typescript/explicit-function-return-type -- the row's type is that of the literal
export function anomalyColumns(source: FindingSource, finding: Finding) {
  return {
    job_id: source.jobId,
    run_id: source.runId,
    dataset_id: source.datasetId,
    series_id: source.seriesId,
    metric: source.metric,
    tags: JSON.stringify(source.tags),
    started_at: toTimestamp(finding.startMs),
    ended_at: toTimestamp(finding.endMs),
    detected_at: toTimestamp(finding.detectedMs),
    peak_at: toTimestamp(finding.peakMs),
    observed: finding.observed,
    expected: finding.expected,
    lower_bound: finding.lower,
    upper_bound: finding.upper,
    score: finding.score,
    detected_score: finding.detectedScore,
    probability: finding.probability,
    severity: finding.severity,
    direction: finding.direction,
    algorithm: source.algorithm,
    explanation: finding.explanation,
    ongoing: finding.open,
  }
}

/** The anomaly that a row holds. */
export function toAnomaly(row: AnomalyRow): Anomaly {
  return {
    id: row.id,
    jobId: row.job_id,
    runId: row.run_id,
    datasetId: row.dataset_id,
    datasetName: row.dataset_name,
    seriesId: row.series_id,
    metric: row.metric,
    tags: row.tags as Record<string, string>,
    startedAt: row.started_at,
    endedAt: row.ended_at,
    detectedAt: row.detected_at,
    peakAt: row.peak_at,
    observed: row.observed,
    expected: row.expected,
    lower: row.lower_bound,
    upper: row.upper_bound,
    score: row.score,
    detectedScore: row.detected_score,
    probability: row.probability,
    severity: row.severity as Severity,
    direction: row.direction as Finding['direction'],
    algorithm: row.algorithm,
    explanation: row.explanation,
    ongoing: row.ongoing,
    state: row.state as AnomalyState,
    note: row.note,
    stateChangedAt: row.state_changed_at,
    stateChangedBy: row.state_changed_by,
    createdAt: row.created_at,
  }
}
