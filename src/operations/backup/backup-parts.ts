import type { BackupKey } from './backup-key.ts'
import type { LocalCluster } from './local-cluster.ts'
import type { Retention } from './retention.ts'
import type { BackupTarget } from './target/backup-target.ts'

/** What backups of our own making consist of. */
export interface BackupParts {
  readonly target: BackupTarget
  readonly key: BackupKey
  readonly cluster: LocalCluster
  readonly retention: Retention
  /** What is read of the database in a second at most, in bytes; 0 for no bound. */
  readonly bytesPerSecond: number
  /** After how many seconds the server finishes a segment of log that something was written to. */
  readonly segmentSeconds: number
  /** The administrator of the metrics' database, where that is another one. */
  readonly metricsAdminUrl: string | undefined
  readonly clock: () => number
  readonly log: (message: string) => void
}
