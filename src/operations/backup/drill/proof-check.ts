import type { MetricsEngine } from '../../../metrics/metrics-engine.ts'
import type { RestoredDatabase } from './restored-databases.ts'

/** `warn`: nothing speaks against the backup, but not everything could be shown. */
export type ProofVerdict = 'ok' | 'warn' | 'fail'

/** What a check has found. */
export interface ProofFinding {
  readonly verdict: ProofVerdict
  /** One sentence. */
  readonly says: string
  /** What it found in particular; the first hundred. */
  readonly details?: readonly string[]
  /** What the next drill may expect to find again. */
  readonly remember?: Partial<Remembered>
}

/** What an earlier drill found, and a later one must find again. */
export interface Remembered {
  /** Rows of each table. */
  readonly rows: Readonly<Record<string, number>>
  readonly auditLog: AuditAnchor
}

/** The audit log up to an entry: nothing of it changes any more. */
export interface AuditAnchor {
  readonly at: string
  readonly lastId: string
  /** How many entries each tenant had up to there, and a digest of them. */
  readonly tenants: Readonly<Record<string, { readonly entries: number; readonly digest: string }>>
}

/** What every check is given. */
export interface ProofContext {
  readonly core: RestoredDatabase
  /** The same as `core` where the metrics are in it. */
  readonly metrics: RestoredDatabase
  readonly engine: MetricsEngine
  /** Of earlier drills, newest first. */
  readonly remembered: readonly Remembered[]
  readonly signal: AbortSignal
  /** Epoch milliseconds. */
  readonly clock: () => number
  /** Says how far a long check is. */
  readonly progress: (detail: string) => void
}

/** One thing that is looked at in restored databases; changes nothing that is kept. */
export interface ProofCheck {
  readonly name: string
  /** What it shows, for the report. */
  readonly shows: string
  run(context: ProofContext): Promise<ProofFinding>
}

/** The most that is listed of what a check found. */
export const LISTED = 100
