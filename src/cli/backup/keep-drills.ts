import type { Config } from '../../config/profiles.ts'
import type { Database } from '../../database/database.ts'
import { lookAtBackups } from '../../operations/backup/drill/drill-installation.ts'
import { openDrillSite } from '../../operations/backup/open-server-backups.ts'
import type { Logger } from '../../telemetry/logger.ts'
import { DrillKeeper } from '../../worker/drill-keeper.ts'

/** Has the backups of this installation put to the proof while this process works, where there are any; `undefined` where there are none. */
export function keepDrills(config: Config, database: Database, logger: Logger): DrillKeeper | undefined {
  const { databaseUrl, backupTarget, pgbackrestRepository, snapshotCommand, drillCron } = config
  const hasBackups = databaseUrl === undefined ? backupTarget : (pgbackrestRepository ?? snapshotCommand)
  if (hasBackups === undefined) return undefined
  return new DrillKeeper({
    database,
    cron: drillCron,
    // This program itself, with the settings of this process.
    command: [process.execPath, ...process.execArgv, process.argv[1]!, 'backup', 'drill', '--output', 'json'],
    look: async (signal) => {
      await using opened = await openDrillSite(config, (message) => logger.warn(message))
      return await lookAtBackups(opened.engine, Date.now, signal)
    },
    clock: Date.now,
    logger,
  })
}
