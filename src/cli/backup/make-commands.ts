import { setPriority } from 'node:os'
import { Option, type Command } from 'commander'
import { loadConfig } from '../../config/load.ts'
import { NomalyError } from '../../errors.ts'
import type { Backup, BackupKind } from '../../operations/backup/backup-engine.ts'
import { isKeyKept, noteKeyKept, readKeyText } from '../../operations/backup/find-key.ts'
import { makeBackup } from '../../operations/backup/make-backup.ts'
import { withServer } from '../../operations/backup/open-backups.ts'
import { EXIT_CODES } from '../exit-codes.ts'
import { count, formatTime } from '../format-cells.ts'
import { withExamples } from '../help-examples.ts'
import {
  note,
  type OutputOptions,
  paint,
  print,
  printItems,
  printJson,
  tableLines,
  withOutput,
} from '../output.ts'
import { formatBytes, withBackups } from './backup-session.ts'
import { createOnServer, listOnServer, verifyOnServer } from './server-commands.ts'

/** Below everything that serves. */
const LOW_PRIORITY = 10

/** Adds what makes and looks after backups. */
export function registerBackupMaking(backup: Command): void {
  addCreate(backup)
  addList(backup)
  addVerify(backup)
  addPoint(backup)
  addKey(backup)
}

function addCreate(backup: Command): void {
  const command = backup
    .command('create')
    .description(
      'Makes a backup, while the server runs or not, and from the first one on keeps the log, so that every later moment can be restored to.',
    )
    .addOption(
      new Option('--kind <kind>', 'everything, or what has changed since the last full one')
        .choices(['full', 'differential'])
        .default('full'),
    )
  withOutput(command)
  withExamples(command, [
    ['NOMALY_BACKUP_TARGET=/mnt/backup nomaly backup create', 'to another disk'],
    ['nomaly backup create --kind differential', 'only what has changed'],
  ])
  command.action(async ({ kind, output }: OutputOptions & { readonly kind: BackupKind }) => {
    setPriority(LOW_PRIORITY)
    if (loadConfig().databaseUrl !== undefined) return createOnServer(loadConfig(), kind, output)
    const made = await withBackups(true, async (engine, work, config) => {
      await using _server = await withServer(config, () => {}, work.signal)
      return await makeBackup(config, engine, { kind, ...work })
    })
    if (output !== 'table') printJson(made)
    else {
      print(
        `${paint('bold', made.id)}: ${formatBytes(made.databaseBytes)} in ${formatBytes(made.storedBytes)}.`,
      )
      print(`Every moment from ${formatTime(made.endedAt)} UTC on can be restored to.`)
    }
    if (!(await isKeyKept(loadConfig())))
      note(
        paint(
          'yellow',
          'The key of the backups is on this machine only. Keep it elsewhere, or they are lost with it: ',
        ) + '`nomaly backup key` prints it.',
      )
  })
}

function addList(backup: Command): void {
  const command = backup
    .command('list')
    .description('Lists the backups, and says which moments can be restored to.')
  withOutput(command)
  withExamples(command, [['nomaly backup list', '']])
  command.action(async ({ output }: OutputOptions) => {
    if (loadConfig().databaseUrl !== undefined) return listOnServer(loadConfig(), output)
    const { backups, recoverable, points } = await withBackups(false, async (engine, { signal }) => ({
      backups: await engine.list(signal),
      recoverable: await engine.recoverable(signal),
      points: await engine.listPoints(signal),
    }))
    if (output !== 'table') return printItems(output, backups, [], '')
    printItems<Backup>(
      output,
      backups,
      [
        ['Backup', ({ id }) => id],
        ['Kind', ({ kind }) => kind],
        ['Ended, UTC', ({ endedAt }) => formatTime(endedAt)],
        ['Database', ({ databaseBytes }) => formatBytes(databaseBytes)],
        ['Stored', ({ storedBytes }) => formatBytes(storedBytes)],
        ['Builds on', ({ baseId }) => baseId ?? '–'],
      ],
      'There is no backup yet. Make one with `nomaly backup create`.',
    )
    if (recoverable.from !== undefined)
      print(
        `\nEvery moment from ${formatTime(recoverable.from)} to ${formatTime(recoverable.until)} UTC can be restored to; what is newer is stored within moments.`,
      )
    const own = points.filter(({ name }) => !name.startsWith('backup-'))
    if (own.length > 0)
      print(
        `\n${tableLines(own, [
          ['Restore point', ({ name }) => name],
          ['Set, UTC', ({ at }) => formatTime(at)],
        ])}`,
      )
  })
}

function addVerify(backup: Command): void {
  const command = backup
    .command('verify')
    .argument('[id]', 'one backup, with what it builds on; all of them and their log otherwise')
    .description(
      'Reads everything that is stored and compares it with its checksums. Exit code 1 where something is wrong.',
    )
  withOutput(command)
  withExamples(command, [['nomaly backup verify', 'all of them']])
  command.action(async (id: string | undefined, { output }: OutputOptions) => {
    if (loadConfig().databaseUrl !== undefined) return verifyOnServer(loadConfig(), id, output)
    const report = await withBackups(false, async (engine, work) => {
      if (id !== undefined && !(await engine.list(work.signal)).some((one) => one.id === id))
        throw new NomalyError('not_found', `There is no backup "${id}".`, {
          hint: 'List what there is with `nomaly backup list`.',
        })
      return engine.verify(id, work)
    })
    if (report.faults.length > 0) process.exitCode = EXIT_CODES.failed
    if (output !== 'table') return printJson(report)
    const read = `${count(report.backups, 'backup')}, ${count(report.files, 'file')} with ${formatBytes(report.bytes)}, ${count(report.logSegments, 'segment')} of log`
    if (report.faults.length === 0)
      return print(`${paint('green', '✓')} ${read}: everything is as it was written.`)
    print(`${paint('red', '✗')} ${read}: ${count(report.faults.length, 'fault')}.`)
    print(
      tableLines(report.faults, [
        ['Stored file', ({ file }) => file],
        ['What is wrong', ({ reason }) => reason],
      ]),
    )
  })
}

function addPoint(backup: Command): void {
  const command = backup
    .command('point')
    .argument('<name>', 'letters, digits, dots, dashes and underscores')
    .description(
      'Names this moment in every database of the installation, so that it can be restored to by its name.',
    )
  withOutput(command)
  withExamples(command, [
    ['nomaly backup point before-upgrade', 'and later: nomaly backup restore --to before-upgrade'],
  ])
  command.action(async (name: string, { output }: OutputOptions) => {
    const point = await withBackups(false, (engine, { signal }) => engine.mark(name, signal))
    if (output !== 'table') return printJson(point)
    print(`${paint('bold', point.name)} is at ${point.lsn}.`)
    if (point.metricsLsn === null)
      note('It could not be set in the metrics database: its login may not execute pg_create_restore_point.')
  })
}

function addKey(backup: Command): void {
  const command = backup
    .command('key')
    .description(
      'Prints the key of the backups, once, to be kept elsewhere: a restore on another machine needs it.',
    )
    .option('--again', 'print it although it was printed before')
  withExamples(command, [
    ['nomaly backup key > /media/safe/nomaly-backup-key', 'NOMALY_BACKUP_KEY_FILE names it at a restore'],
  ])
  command.action(async ({ again }: { readonly again?: boolean }) => {
    const config = loadConfig()
    const text = await readKeyText(config)
    if (text === undefined)
      throw new NomalyError('not_found', 'There is no key yet.', {
        hint: 'It is made with the first backup: `nomaly backup create`.',
      })
    if (again !== true && (await isKeyKept(config)))
      throw new NomalyError('conflict', 'The key was printed before, or was given by NOMALY_BACKUP_KEY.', {
        hint: 'Add --again to print it once more.',
      })
    print(text)
    if (config.backupKey === undefined) await noteKeyKept(config, new Date())
    note('Whoever has this and the backups has all data. Without it nobody can read them.')
  })
}
