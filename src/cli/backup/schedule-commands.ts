import type { Command } from 'commander'
import { loadConfig } from '../../config/load.ts'
import type { Database } from '../../database/database.ts'
import { readRuns, readSchedule, setSchedule } from '../../operations/backup/backup-schedule.ts'
import { openOperatorDatabase } from '../../operations/backup/make-backup.ts'
import { openTarget } from '../../operations/backup/target/open-target.ts'
import { formatTime } from '../format-cells.ts'
import { withExamples } from '../help-examples.ts'
import { type OutputOptions, paint, print, printJson, tableLines, withOutput } from '../output.ts'

interface ScheduleFlags extends OutputOptions {
  readonly full?: string
  readonly differential?: string
  readonly off?: boolean
}

const SHOWN_RUNS = 10

/** Adds `nomaly backup schedule`. */
export function registerBackupSchedule(backup: Command): void {
  const command = backup
    .command('schedule')
    .description(
      'Shows or sets when backups are made by the server itself, in cron’s five fields and UTC. A time that passed while it did not run is made up for.',
    )
    .option('--full <cron>', 'full backups')
    .option('--differential <cron>', 'differential ones')
    .option('--off', 'no backups by themselves any more')
  withOutput(command)
  withExamples(command, [
    ['nomaly backup schedule', 'what is set, and what became of the last ones'],
    [
      'nomaly backup schedule --full "0 3 * * 0" --differential "0 3 * * 1-6"',
      'at three, full ones on Sundays',
    ],
  ])
  command.action(async ({ full, differential, off, output }: ScheduleFlags) => {
    const config = loadConfig()
    await using database = await openOperatorDatabase(config)
    const now = new Date()
    if (full !== undefined || differential !== undefined) openTarget(config)
    if (off === true || full !== undefined) await setSchedule(database, 'full', full, now)
    if (off === true || differential !== undefined)
      await setSchedule(database, 'differential', differential, now)
    await show(database, output)
  })
}

async function show(database: Database, output: OutputOptions['output']): Promise<void> {
  const schedule = await readSchedule(database)
  const runs = await readRuns(database, SHOWN_RUNS)
  if (output !== 'table') return printJson({ schedule, runs })
  print(
    schedule.length === 0
      ? 'No backups are made by themselves. Set a schedule with --full and --differential.'
      : tableLines(schedule, [
          ['Kind', ({ kind }) => kind],
          ['When, UTC', ({ cron }) => cron],
          ['Next', ({ nextRunAt }) => formatTime(nextRunAt)],
        ]),
  )
  if (runs.length === 0) return
  print('')
  print(
    tableLines(runs, [
      ['Begun, UTC', ({ startedAt }) => formatTime(startedAt)],
      ['Kind', ({ kind }) => kind],
      ['Outcome', ({ outcome }) => (outcome === 'failed' ? paint('red', outcome) : outcome)],
      ['', ({ backupId, reason }) => reason ?? backupId ?? ''],
    ]),
  )
}
