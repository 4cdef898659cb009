/** The parts of the API's answers that the command line shows; docs at `/docs` of a server have the whole. */
export interface Dataset {
  readonly id: string
  readonly name: string
  readonly description: string | null
  readonly retention: string
  readonly createdAt: string
  readonly seriesCount: number
  readonly latestAt: string | null
}

export interface Backfill {
  readonly id: string
  readonly datasetId: string
  readonly status: 'receiving' | 'merging' | 'completed' | 'failed' | 'cancelled'
  readonly parts: { readonly done: number; readonly total: number | null }
  readonly points: number
  readonly rejectedTotal: number
  readonly windows: { readonly done: number; readonly total: number | null }
  readonly inserted: number
  readonly duplicates: number
  readonly conflicting: number
  readonly expired: number
  readonly error: { readonly message: string; readonly hint: string | null } | null
}

export interface SeriesEntry {
  readonly id: number
  readonly metric: string
  readonly tags: Readonly<Record<string, string>>
  readonly datasetId: string
  readonly createdAt: string
  readonly latestAt: string | null
}

export interface Budget {
  readonly alarms: number
  readonly perSeconds: number
}

export interface Detector {
  readonly id: string
  readonly name: string
  readonly algorithm: string
  readonly parameters: Readonly<Record<string, number>>
  readonly budget: Budget
  readonly createdAt: string
}

export interface Run {
  readonly id: string
  readonly jobId: string
  readonly status: 'pending' | 'running' | 'completed' | 'failed' | 'cancelled'
  readonly attempt: number
  readonly seriesTotal: number | null
  readonly seriesDone: number
  readonly pointsScanned: number
  readonly anomaliesFound: number
  readonly startedAt: string | null
  readonly finishedAt: string | null
  readonly error: { readonly message: string; readonly hint: string | null } | null
}

export type Schedule =
  | { readonly kind: 'once' }
  | { readonly kind: 'streaming' }
  | { readonly kind: 'cron'; readonly cron: string; readonly timeZone?: string }

export interface Job {
  readonly id: string
  readonly name: string
  readonly datasetId: string
  readonly datasetName: string
  readonly detector: Omit<Detector, 'createdAt'>
  readonly schedule: Schedule
  readonly selector: { readonly metric?: string; readonly tags?: Readonly<Record<string, string>> } | null
  readonly status: 'pending' | 'running' | 'completed' | 'failed' | 'cancelled' | 'paused'
  readonly createdAt: string
  readonly lastRun: Run | null
  readonly openAnomalies: number
}

export interface Anomaly {
  readonly id: string
  readonly jobId: string
  readonly datasetName: string
  readonly seriesId: number
  readonly metric: string
  readonly tags: Readonly<Record<string, string>>
  readonly startedAt: string
  readonly endedAt: string
  readonly detectedAt: string
  readonly observed: number | string
  readonly expected: number | string | null
  readonly lower: number | string | null
  readonly upper: number | string | null
  readonly score: number
  readonly severity: 'low' | 'medium' | 'high' | 'critical'
  readonly direction: string
  readonly algorithm: string
  readonly explanation: string
  readonly ongoing: boolean
  readonly state: 'open' | 'acknowledged' | 'resolved' | 'dismissed'
  readonly note: string | null
  readonly stateChangedAt: string | null
  readonly stateChangedBy: string | null
}
