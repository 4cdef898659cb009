import { Counter, Gauge, type Registry } from 'prom-client'

/** What alerts on backups look at. */
export interface BackupMetrics {
  readonly lastBackupAt: Gauge
  readonly failuresInARow: Gauge
  readonly logStoredAt: Gauge
  readonly logWaitingBytes: Gauge
  readonly logFailures: Counter
}

/** Adds the metrics of backups to those of a process. */
export function createBackupMetrics(registry: Registry): BackupMetrics {
  const registers = [registry]
  return {
    lastBackupAt: new Gauge({
      name: 'nomaly_backup_last_timestamp_seconds',
      help: 'When the newest backup ended that is noted in the database',
      registers,
    }),
    failuresInARow: new Gauge({
      name: 'nomaly_backup_failures',
      help: 'Attempts to make a backup that failed since the last one that did not',
      registers,
    }),
    logStoredAt: new Gauge({
      name: 'nomaly_backup_log_stored_timestamp_seconds',
      help: 'When everything that the server had finished of its log was last in the target',
      registers,
    }),
    logWaitingBytes: new Gauge({
      name: 'nomaly_backup_log_waiting_bytes',
      help: 'Finished log on the disk of the database that is not in the target yet',
      registers,
    }),
    logFailures: new Counter({
      name: 'nomaly_backup_log_failures_total',
      help: 'Rounds of storing log that failed',
      registers,
    }),
  }
}
