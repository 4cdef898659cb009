import { resolve } from 'node:path'
import type { Command } from 'commander'
import { loadConfig } from '../../config/load.ts'
import { readFolderOwner } from '../../database/data-folder.ts'
import { NomalyError } from '../../errors.ts'
import { newRestoreFolder, recoverFolder } from '../../operations/backup/open-backups.ts'
import { parseRestoreTarget } from '../../operations/backup/parse-restore-target.ts'
import { swapFolder, undoSwap } from '../../operations/backup/swap-folder.ts'
import { confirm, type ConfirmFlags, withYes } from '../confirm.ts'
import { count, formatTime } from '../format-cells.ts'
import { withExamples } from '../help-examples.ts'
import { note, type OutputOptions, paint, print, printJson, withOutput } from '../output.ts'
import { formatBytes, withBackups } from './backup-session.ts'
import { restoreOnServer } from './server-commands.ts'

interface RestoreFlags extends OutputOptions {
  readonly to: string
  readonly backup?: string
  readonly into?: string
}

interface SwapFlags extends ConfirmFlags, OutputOptions {
  readonly undo?: boolean
}

/** Adds the way back. */
export function registerBackupRestoring(backup: Command): void {
  addRestore(backup)
  addSwap(backup)
}

function addRestore(backup: Command): void {
  const command = backup
    .command('restore')
    .description(
      'Restores the database into a new folder, whether the installation runs, is broken or gone: the target and the key suffice. ' +
        'Nothing that is there is touched; `nomaly backup swap` puts the restored database in place.',
    )
    .option(
      '--to <moment>',
      'latest, a time (in UTC where it has no zone), a position such as 0/1A2B3C4D, the name of a restore point, or immediate: the earliest state of the backup',
      'latest',
    )
    .option('--backup <id>', 'begin with this backup; with the newest that is old enough otherwise')
    .option('--into <folder>', 'a new or empty folder; one in the data folder otherwise')
  withOutput(command)
  withExamples(command, [
    ['nomaly backup restore', 'everything that is stored'],
    ['nomaly backup restore --to "2026-11-20 14:03"', 'as it was then'],
    ['NOMALY_BACKUP_KEY_FILE=/media/safe/key nomaly backup restore', 'on a new machine'],
  ])
  command.action(async (flags: RestoreFlags) => {
    const { to, backup: backupId, into, output } = flags
    if (loadConfig().databaseUrl !== undefined) return restoreOnServer(loadConfig(), flags)
    const target = parseRestoreTarget(to)
    const startedAt = performance.now()
    const done = await withBackups(false, async (engine, work, config) => {
      // What was committed just now is to be in it as well, where the server can still say so.
      if ((await readFolderOwner(config.dataDirectory))?.alive === true)
        await engine
          .flush(work.signal)
          .catch((error: Error) => note(`What was committed last may not be in it: ${error.message}`))
      const folder = into === undefined ? await newRestoreFolder(config, new Date()) : resolve(into)
      const files = await engine.restoreInto(folder, target, {
        ...work,
        ...(backupId === undefined ? {} : { backupId }),
      })
      const recovered = await recoverFolder(config, folder, files, { work, log: () => {} })
      return { folder, files, recovered }
    })
    const { folder, files, recovered } = done
    const seconds = (performance.now() - startedAt) / 1000
    if (output !== 'table')
      return printJson({
        folder,
        backup: files.backup,
        target,
        bytes: files.bytes,
        logSegments: files.logSegments,
        seconds,
        ...recovered,
      })
    print(
      `Restored ${formatBytes(files.bytes)} from ${files.backup.id} and ${count(files.logSegments, 'segment')} of log, in ${seconds.toFixed(1)} s.`,
    )
    print(
      recovered.lastCommitAt === undefined
        ? `It stands at ${recovered.lsn}.`
        : `Its last commit was at ${formatTime(recovered.lastCommitAt)} UTC; it stands at ${recovered.lsn}.`,
    )
    print(`\nIt is in ${paint('bold', folder)}. Look at it:    NOMALY_DATA_DIR=${folder} nomaly start`)
    print(`Put it in place, after \`nomaly stop\`:    nomaly backup swap ${folder}`)
  })
}

function addSwap(backup: Command): void {
  const command = backup
    .command('swap')
    .argument('[folder]', 'where the database was restored to')
    .description(
      'Puts a restored database in place of the one of the data folder, which is kept. --undo takes it back.',
    )
    .option('--undo', 'put the former database back')
  withYes(command)
  withOutput(command)
  withExamples(command, [
    ['nomaly backup swap .nomaly/restored/2026-11-20T15-00-00', 'after `nomaly stop`'],
    ['nomaly backup swap --undo', 'back to the database before'],
  ])
  command.action(async (folder: string | undefined, flags: SwapFlags) => {
    if ((folder === undefined) === (flags.undo !== true))
      throw new NomalyError('invalid_input', 'Say which folder to swap in, or --undo.', {
        hint: 'The folder is the one that `nomaly backup restore` printed.',
      })
    const { dataDirectory } = loadConfig()
    if (folder === undefined) {
      await confirm('The restored database leaves its place, and the former one returns.', flags)
      const swap = await undoSwap(dataDirectory)
      if (flags.output !== 'table') return printJson(swap)
      return print(`The former database is back; the restored one is in ${swap.from}.`)
    }
    await confirm(
      'The restored database takes the place of the one of the data folder, which is kept.',
      flags,
    )
    const swap = await swapFolder(dataDirectory, resolve(folder), new Date())
    if (flags.output !== 'table') return printJson(swap)
    print('The restored database is in place. `nomaly start` starts it.')
    if (swap.former !== undefined)
      print(
        `The former one is in ${swap.former}: \`nomaly backup swap --undo\` puts it back; remove it when you do not need it.`,
      )
    note('Its backups begin anew: make a full one with `nomaly backup create`.')
  })
}
