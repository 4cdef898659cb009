import type { Command } from 'commander'
import { loadConfig } from '../../config/load.ts'
import type { Config } from '../../config/profiles.ts'
import type { ProofVerdict } from '../../operations/backup/drill/proof-check.ts'
import { drillInstallation, type KeptDrill } from '../../operations/backup/drill/drill-installation.ts'
import { listRestoreReports } from '../../operations/backup/drill/restore-report.ts'
import type { DrillProgress, RestoreDrillReport } from '../../operations/backup/drill/run-restore-drill.ts'
import { openDrillSite } from '../../operations/backup/open-server-backups.ts'
import { parseRestoreTarget } from '../../operations/backup/parse-restore-target.ts'
import { EXIT_CODES } from '../exit-codes.ts'
import { formatTime } from '../format-cells.ts'
import { withExamples } from '../help-examples.ts'
import { interruptible } from '../interruption.ts'
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
import { Progress } from '../progress.ts'
import { formatBytes } from './backup-session.ts'

interface DrillFlags extends OutputOptions {
  readonly backup?: string
  readonly to?: string
  readonly list?: boolean
  readonly strict?: boolean
}

/** Adds `nomaly backup drill`. */
export function registerBackupDrill(backup: Command): void {
  const command = backup
    .command('drill')
    .description(
      'Puts a backup to the proof: restores it beside everything else, starts a server on it, looks at all that is in it, and has detectors do ' +
        'again what they did lately. Touches nothing that runs, and leaves nothing behind but a report. Exit code 1 where anything is wrong.',
    )
    .option('--backup <id>', 'this backup; the newest otherwise')
    .option('--to <moment>', 'restored to there, as for `restore`; to this very moment otherwise')
    .option('--strict', 'exit code 1 also where not everything could be shown')
    .option('--list', 'list the reports of drills that were kept in the data folder, newest first')
  withOutput(command)
  withExamples(command, [
    ['nomaly backup drill', ''],
    ['nomaly backup drill --to "2026-11-20 14:03"', 'would that moment come back?'],
    ['nomaly backup drill --list', 'how it went before'],
  ])
  command.action(async (flags: DrillFlags) => {
    const config = loadConfig()
    if (flags.list === true) return list(config, flags)
    const target = flags.to === undefined ? undefined : parseRestoreTarget(flags.to)
    const { report, files } = await interruptible(async (signal) => {
      await using opened = await openDrillSite(config, note)
      return withBar((progress) =>
        drillInstallation({
          config,
          site: opened.site,
          engine: opened.engine,
          databaseUrl: opened.notedIn,
          backupId: flags.backup,
          target,
          clock: Date.now,
          signal,
          progress,
          log: note,
        }),
      )
    })
    if (flags.output === 'table') printReport(report)
    else printJson(report)
    note(`Kept as ${files.markdown}`)
    const isBad = report.verdict === 'failed' || (flags.strict === true && report.verdict !== 'proven')
    if (isBad) process.exitCode = EXIT_CODES.failed
  })
}

async function list({ dataDirectory }: Config, { output }: DrillFlags): Promise<void> {
  printItems(
    output,
    await listRestoreReports(dataDirectory),
    [
      ['When', ({ startedAt }) => formatTime(startedAt)],
      ['Verdict', ({ verdict }) => verdictWord(verdict)],
      ['Backup', ({ backups }) => backups[0]?.id ?? '–'],
      ['Recovered to', ({ recoveredTo }) => (recoveredTo === undefined ? '–' : formatTime(recoveredTo))],
      ['RTO', ({ rtoSeconds }) => seconds(rtoSeconds)],
      ['RPO', ({ rpoSeconds }) => seconds(rpoSeconds)],
      ['Wrong', ({ failure, checks }) => wrongIn(failure, checks)],
    ],
    'There was no drill yet: `nomaly backup drill`.',
  )
}

async function withBar(
  work: (progress: (at: DrillProgress) => void) => Promise<KeptDrill>,
): Promise<KeptDrill> {
  let shown: { readonly title: string; readonly bar: Progress } | undefined
  const progress = (at: DrillProgress): void => {
    const [title, total, done, detail] = sayProgress(at)
    if (shown?.title !== title) {
      shown?.bar.stop()
      shown = { title, bar: new Progress(title, total) }
    }
    shown.bar.update(done, detail)
  }
  try {
    return await work(progress)
  } finally {
    shown?.bar.stop()
  }
}

function sayProgress(
  at: DrillProgress,
): [title: string, total: number | undefined, done: number, detail: string] {
  if (at.phase === 'storing') return ['Storing what is new', undefined, 0, '']
  if (at.phase === 'checking') return ['Looking', at.total, at.done, `${at.check} ${at.detail}`.slice(0, 60)]
  const { phase, doneBytes, totalBytes } = at.backup
  if (phase === 'recovering') return ['Replaying the log', undefined, 0, '']
  return ['Restoring', totalBytes, doneBytes, totalBytes === undefined ? '' : formatBytes(doneBytes)]
}

const MARKS: Readonly<Record<ProofVerdict, readonly [colour: 'green' | 'yellow' | 'red', mark: string]>> = {
  ok: ['green', '✓'],
  warn: ['yellow', '!'],
  fail: ['red', '✗'],
}

function printReport(report: RestoreDrillReport): void {
  const { failure, checks, backups, limits } = report
  print(`${paint('bold', 'Restore drill')}: ${verdictWord(report.verdict)}`)
  for (const { database, id, endedAt } of backups)
    print(`Backup of the ${database}: ${id}, of ${formatTime(endedAt)}`)
  if (report.recoveredTo !== undefined) print(`Recovered to ${formatTime(report.recoveredTo)}`)
  print(`Time until the restored databases answered (RTO): ${seconds(report.rtoSeconds)}`)
  print(`Would have been lost as the drill began (RPO): ${seconds(report.rpoSeconds)}`)
  if (failure !== undefined) {
    print(`\n${paint('red', failure.message)}`)
    if (failure.hint !== undefined) print(failure.hint)
  }
  if (checks.length > 0) {
    const lines = tableLines(checks, [
      ['', ({ verdict }) => paint(...MARKS[verdict])],
      ['Check', ({ check }) => check],
      ['What was found', ({ says }) => says],
    ])
    print(`\n${lines}`)
  }
  for (const { check, details, verdict } of checks)
    if (verdict !== 'ok') for (const detail of details.slice(0, 10)) print(`  ${check}: ${detail}`)
  for (const limit of limits) print(`\n${limit}`)
}

function wrongIn(failure: RestoreDrillReport['failure'], checks: RestoreDrillReport['checks']): string {
  if (failure !== undefined) return failure.message
  return checks.flatMap(({ check, verdict }) => (verdict === 'fail' ? [check] : [])).join(', ')
}

function verdictWord(verdict: RestoreDrillReport['verdict']): string {
  return paint(verdict === 'proven' ? 'green' : verdict === 'failed' ? 'red' : 'yellow', verdict)
}

function seconds(value: number | undefined): string {
  if (value === undefined) return 'not known'
  return value < 120 ? `${value.toFixed(1)} s` : `${(value / 60).toFixed(1)} min`
}
