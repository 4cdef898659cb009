import type { Connection } from '../database/connection.ts'
import type { Finding } from '../detection/finding.ts'

/** A finding as it is kept, without what people have said of it. Times are epoch microseconds. */
export interface RecordedFinding {
  readonly startedAt: string
  readonly endedAt: string
  readonly detectedAt: string
  readonly peakAt: string
  readonly observed: number
  readonly expected: number
  readonly lower: number
  readonly upper: number
  readonly score: number
  readonly detectedScore: number
  readonly probability: number
  readonly severity: string
  readonly direction: string
  readonly explanation: string
  readonly ongoing: boolean
}

/** What would be kept of a finding. */
export function recordedFinding(finding: Finding): RecordedFinding {
  return {
    startedAt: micros(finding.startMs),
    endedAt: micros(finding.endMs),
    detectedAt: micros(finding.detectedMs),
    peakAt: micros(finding.peakMs),
    observed: finding.observed,
    expected: finding.expected,
    lower: finding.lower,
    upper: finding.upper,
    score: finding.score,
    detectedScore: finding.detectedScore,
    probability: finding.probability,
    severity: finding.severity,
    direction: finding.direction,
    explanation: finding.explanation,
    ongoing: finding.open,
  }
}

export interface FindingsWanted {
  readonly jobId: string
  readonly seriesId: number
  /** Those that begin at these instants, epoch milliseconds. */
  readonly starts: readonly number[]
  /** And those that were first recorded after this instant, epoch milliseconds; without it, those of the run. */
  readonly sinceMs: number | undefined
  readonly runId: string
}

/** The findings of a job in a series, as `nomaly_system`; `isNew` tells those that were recorded since. */
export async function readFindings(
  connection: Connection,
  { jobId, seriesId, starts, sinceMs, runId }: FindingsWanted,
): Promise<(RecordedFinding & { readonly isNew: boolean })[]> {
  return connection.query<RecordedFinding & { isNew: boolean } & Record<string, unknown>>(
    `select ${epochMicros('started_at')} as "startedAt", ${epochMicros('ended_at')} as "endedAt",
       ${epochMicros('detected_at')} as "detectedAt", ${epochMicros('peak_at')} as "peakAt",
       observed, expected, lower_bound as lower, upper_bound as upper, score, detected_score as "detectedScore", probability,
       severity, direction, explanation, ongoing, is_new as "isNew"
     from nomaly.anomalies a
     cross join lateral (select case when $4::float8 is null then run_id = $5::uuid
       -- A thousandth of a millisecond more: what was recorded in that very transaction belongs to what was before.
       else created_at > to_timestamp($4::float8 / 1000) + interval '1 microsecond' end as is_new) n
     where job_id = $1 and series_id = $2
       and (is_new or (extract(epoch from started_at) * 1000000)::int8 = any($3::int8[]))`,
    [jobId, seriesId, starts.map(micros), sinceMs ?? null, runId],
  )
}

function epochMicros(column: string): string {
  return `(extract(epoch from ${column}) * 1000000)::int8::text`
}

function micros(epochMs: number): string {
  return String(Math.round(epochMs * 1000))
}
