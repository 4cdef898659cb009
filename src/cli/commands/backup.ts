import type { Command } from 'commander'
import { registerBackupDrill } from '../backup/drill-commands.ts'
import { registerBackupMaking } from '../backup/make-commands.ts'
import { registerBackupRestoring } from '../backup/restore-commands.ts'
import { registerBackupSchedule } from '../backup/schedule-commands.ts'

/** Adds `nomaly backup …`. */
export function registerBackup(program: Command): void {
  const command = program
    .command('backup')
    .description(
      'Backups of the embedded database: encrypted, to a folder or a bucket, while it runs; and the way back, to any moment. ' +
        'NOMALY_BACKUP_TARGET says where they are kept. For operators, on the machine of the database.',
    )
  registerBackupMaking(command)
  registerBackupRestoring(command)
  registerBackupSchedule(command)
  registerBackupDrill(command)
}
