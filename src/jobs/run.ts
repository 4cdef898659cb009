export type RunStatus = 'pending' | 'running' | 'completed' | 'failed' | 'cancelled'

/** One execution of a job. */
export interface Run {
  readonly id: string
  readonly jobId: string
  readonly status: RunStatus
  /** How often a worker has taken it up. */
  readonly attempt: number
  readonly seriesTotal: number
  readonly seriesDone: number
  readonly pointsScanned: number
  readonly anomaliesFound: number
  readonly createdAt: Date
  readonly startedAt: Date | null
  readonly finishedAt: Date | null
  readonly error: { readonly message: string; readonly hint: string | null } | null
}
