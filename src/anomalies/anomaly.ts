import type { Finding, Severity } from '../detection/finding.ts'

export type AnomalyState = 'open' | 'acknowledged' | 'resolved' | 'dismissed'
export const ANOMALY_STATES: readonly AnomalyState[] = ['open', 'acknowledged', 'resolved', 'dismissed']

/** A finding on a series, as it is kept, and what people have said of it. */
export interface Anomaly {
  readonly id: string
  readonly jobId: string
  readonly runId: string
  readonly datasetId: string
  readonly datasetName: string
  readonly seriesId: number
  readonly metric: string
  readonly tags: Readonly<Record<string, string>>
  readonly startedAt: Date
  readonly endedAt: Date
  readonly detectedAt: Date
  readonly peakAt: Date
  readonly observed: number
  readonly expected: number
  readonly lower: number
  readonly upper: number
  readonly score: number
  readonly detectedScore: number
  readonly probability: number
  readonly severity: Severity
  readonly direction: Finding['direction']
  readonly algorithm: string
  readonly explanation: string
  readonly ongoing: boolean
  readonly state: AnomalyState
  readonly note: string | null
  readonly stateChangedAt: Date | null
  readonly stateChangedBy: string | null
  readonly createdAt: Date
}

/** What a person may say of an anomaly, and the state it has then. */
export const ANOMALY_ACTIONS = {
  acknowledge: 'acknowledged',
  resolve: 'resolved',
  dismiss: 'dismissed',
  reopen: 'open',
} as const satisfies Record<string, AnomalyState>

export type AnomalyAction = keyof typeof ANOMALY_ACTIONS
