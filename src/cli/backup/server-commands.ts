import { resolve } from 'node:path'
import type { Config } from '../../config/profiles.ts'
import { NomalyError } from '../../errors.ts'
import type {
  Backup,
  BackupKind,
  BackupProgress,
  VerifyReport,
} from '../../operations/backup/backup-engine.ts'
import { makeBackup } from '../../operations/backup/make-backup.ts'
import { openServerBackups } from '../../operations/backup/open-server-backups.ts'
import { parseRestoreTarget } from '../../operations/backup/parse-restore-target.ts'
import { EXIT_CODES } from '../exit-codes.ts'
import { count, formatTime } from '../format-cells.ts'
import { interruptible } from '../interruption.ts'
import { note, type OutputOptions, paint, print, printItems, printJson, tableLines } from '../output.ts'
import { formatBytes, withBar } from './backup-session.ts'

type Output = OutputOptions['output']

/** Makes a backup of each cluster of an installation on a server of the user's own, that of the core first. */
export async function createOnServer(config: Config, kind: BackupKind, output: Output): Promise<void> {
  const { engines } = await openServerBackups(config, note)
  const made: Backup[] = []
  for (const engine of engines)
    made.push(await withWork((work) => makeBackup(config, engine, { kind, ...work })))
  if (output !== 'table') return printJson(made)
  for (const { id, databaseBytes, storedBytes, endedAt } of made) {
    print(`${paint('bold', id)}: ${formatBytes(databaseBytes)} in ${formatBytes(storedBytes)}.`)
    print(`Every moment from ${formatTime(endedAt)} UTC on can be restored to.`)
  }
}

/** Lists what there is, of pgBackRest's making or a provider's. */
export async function listOnServer(config: Config, output: Output): Promise<void> {
  const { engines } = await openServerBackups(config, note)
  const found = await interruptible(async (signal) =>
    Promise.all(
      engines.map(async (engine) => ({
        place: engine.place,
        because: engine.supports.because,
        backups: await engine.list(signal),
        recoverable: await engine.recoverable(signal),
      })),
    ),
  )
  if (output === 'json') return printJson(found.length === 1 ? found[0]!.backups : found)
  for (const { place, because, backups, recoverable } of found) {
    if (output === 'table') print(`${paint('bold', place)}${because === undefined ? '' : `\n${because}`}`)
    printItems<Backup>(
      output,
      backups,
      [
        ['Backup', ({ id }) => id],
        ['Kind', ({ kind }) => kind],
        ['Ended, UTC', ({ endedAt }) => formatTime(endedAt)],
        ['Database', ({ databaseBytes }) => formatBytes(databaseBytes)],
        ['Stored', ({ storedBytes }) => formatBytes(storedBytes)],
      ],
      'There is no backup yet.',
    )
    if (output === 'table' && recoverable.from !== undefined)
      print(
        `From ${formatTime(recoverable.from)} to ${formatTime(recoverable.until)} UTC can be restored to.`,
      )
  }
}

/** Looks whether what is stored is as it was written. */
export async function verifyOnServer(config: Config, id: string | undefined, output: Output): Promise<void> {
  const { engines } = await openServerBackups(config, note)
  const reports: VerifyReport[] = []
  for (const engine of id === undefined ? engines : engines.slice(0, 1))
    reports.push(await withWork((work) => engine.verify(id, work)))
  const faults = reports.flatMap((report) => report.faults)
  if (faults.length > 0) process.exitCode = EXIT_CODES.failed
  if (output !== 'table') return printJson(reports.length === 1 ? reports[0] : reports)
  const sum = (what: (report: VerifyReport) => number): number =>
    reports.reduce((total, report) => total + what(report), 0)
  const read = `${count(
    sum(({ backups }) => backups),
    'backup',
  )}, ${count(
    sum(({ files }) => files),
    'file',
  )}, ${count(
    sum(({ logSegments }) => logSegments),
    'segment',
  )} of log`
  if (faults.length === 0) return print(`${paint('green', '✓')} ${read}: everything is as it was written.`)
  print(`${paint('red', '✗')} ${read}: ${count(faults.length, 'fault')}.`)
  print(
    tableLines(faults, [
      ['Stored file', ({ file }) => file],
      ['What is wrong', ({ reason }) => reason],
    ]),
  )
}

/** Restores the files of each cluster into a new folder, on which PostgreSQL replays the log when it is started. */
export async function restoreOnServer(
  config: Config,
  {
    to,
    backup,
    into,
    output,
  }: OutputOptions & { readonly to: string; readonly backup?: string; readonly into?: string },
): Promise<void> {
  if (into === undefined)
    throw new NomalyError('invalid_input', 'Say where to restore to.', {
      hint: 'Name a new folder with --into. It takes as much room as the database.',
      problems: [{ field: 'into', reason: 'must be given for a server of yours' }],
    })
  const target = parseRestoreTarget(to)
  const { engines } = await openServerBackups(config, note)
  const restored: { readonly directory: string; readonly backup: Backup }[] = []
  for (const [at, engine] of engines.entries()) {
    const folder = engines.length === 1 ? resolve(into) : resolve(into, at === 0 ? 'core' : 'metrics')
    const files = await withWork((work) =>
      engine.restoreInto(folder, target, {
        ...work,
        ...(backup === undefined || at > 0 ? {} : { backupId: backup }),
      }),
    )
    restored.push({ directory: files.directory, backup: files.backup })
  }
  if (output !== 'table') return printJson(restored)
  for (const { directory, backup: from } of restored)
    print(`Restored from ${from.id} into ${paint('bold', directory)}.`)
  print(
    'Start a PostgreSQL on it, on a port of its own: it replays the log up to there, and then takes writes.',
  )
  print('Nothing that is there was touched. `nomaly backup drill` shows whether it is good.')
}

function withWork<T>(
  work: (work: { signal: AbortSignal; progress: (at: BackupProgress) => void }) => Promise<T>,
): Promise<T> {
  return interruptible((signal) => withBar((progress) => work({ signal, progress })))
}
