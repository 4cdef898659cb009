import { join } from 'node:path'
import type { Config } from '../../config/profiles.ts'
import type { Database } from '../../database/database.ts'
import { openBackups } from '../../operations/backup/open-backups.ts'
import { createBackupMetrics } from '../../telemetry/backup-metrics.ts'
import type { Logger } from '../../telemetry/logger.ts'
import type { ProcessMetrics } from '../../telemetry/process-metrics.ts'
import { BackupKeeper } from '../../worker/backup-keeper.ts'

/** Looks after the backups of the embedded server while this process runs it. */
export function keepBackups(
  config: Config,
  database: Database,
  { logger, registry }: { readonly logger: Logger; readonly registry: ProcessMetrics['registry'] },
): BackupKeeper {
  return new BackupKeeper({
    database,
    directory: join(config.dataDirectory, 'postgres'),
    openEngine: () => openBackups(config, { makesKey: false, log: (message) => logger.warn(message) }),
    // This program itself, with the settings of this process.
    command: [
      process.execPath,
      ...process.execArgv,
      process.argv[1]!,
      'backup',
      'create',
      '--output',
      'json',
    ],
    maxWaitingBytes: config.backupWaitingBytes,
    clock: Date.now,
    logger,
    metrics: createBackupMetrics(registry),
  })
}
