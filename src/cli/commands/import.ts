import type { Command } from 'commander'
import { loadConfig } from '../../config/load.ts'
import { importPynomaly, type ImportProgress } from '../../operations/import/import-pynomaly.ts'
import {
  type ImportReport,
  keepImportReport,
  type StoreReport,
  type TableReport,
  verdict,
} from '../../operations/import/import-report.ts'
import { type Comparison, isSame } from '../../operations/import/verify-table.ts'
import { EXIT_CODES } from '../exit-codes.ts'
import { count, formatNumber } from '../format-cells.ts'
import { withExamples } from '../help-examples.ts'
import { interruptible } from '../interruption.ts'
import { withOperatorStore } from '../operator-store.ts'
import { note, type OutputOptions, paint, print, printJson, tableLines, withOutput } from '../output.ts'
import { Progress } from '../progress.ts'

interface ImportFlags extends OutputOptions {
  readonly tenant?: string
  readonly zone?: string
  readonly dryRun?: boolean
  readonly again?: boolean
}

/** Rows that were set aside that are shown at the terminal; the report has more. */
const SHOWN_ASIDE = 10

/** Adds `nomaly import …`. */
export function registerImport(program: Command): void {
  const command = program
    .command('import')
    .description('Takes over what another product has on disk. For operators, on the database itself.')
  const pynomaly = command
    .command('pynomaly')
    .description(
      'Imports a database, a JSON store, a training_jobs.db or a folder with all of them of Pynomaly. The source is never changed. ' +
        'What cannot be taken over without guessing is set aside with a reason. Interrupted, it goes on when it is called again. ' +
        'Exit code 1 where the database does not hold in the end what the source has.',
    )
    .argument('<path>', 'file or folder')
    .option('--dry-run', 'only say what would be done')
    .option(
      '--tenant <name>',
      'put everything into this tenant; otherwise tenants of the source become tenants',
    )
    .option(
      '--zone <zone>',
      'of times that say none (default: UTC, and for training jobs the zone of this machine)',
    )
    .option('--again', 'look at a source again that was imported before')
  withOutput(pynomaly)
  withExamples(pynomaly, [
    ['nomaly import pynomaly ./pynomaly.db --dry-run', 'what is in it, and what would become of it'],
    ['nomaly import pynomaly ~/pynomaly', 'everything in a folder'],
    ['nomaly import pynomaly ./storage --tenant acme', 'JSON stores, into one tenant'],
    ['nomaly import pynomaly ./training_jobs.db --zone Europe/Berlin', 'times of a machine in another zone'],
  ])
  pynomaly.action(async (path: string, flags: ImportFlags) => {
    const report = await interruptible((signal) => run(path, flags, signal))
    const { dataDirectory } = loadConfig()
    const kept = await keepImportReport(dataDirectory, report).catch((error: Error) => {
      note(`The report could not be kept in ${dataDirectory}: ${error.message}`)
      return undefined
    })
    if (flags.output === 'table') printReport(report)
    else if (flags.output === 'json') printJson(report)
    else print(JSON.stringify(report))
    if (kept !== undefined) note(`Kept as ${kept.markdown}`)
    if (!report.isRight) process.exitCode = EXIT_CODES.failed
  })
}

async function run(path: string, flags: ImportFlags, signal: AbortSignal): Promise<ImportReport> {
  let shown: { readonly phase: ImportProgress['phase']; readonly bar: Progress } | undefined
  const onProgress = ({ phase, done, total }: ImportProgress): void => {
    if (shown?.phase !== phase) {
      shown?.bar.stop()
      const title = `${phase[0]!.toUpperCase()}${phase.slice(1)}`
      shown = { phase, bar: new Progress(title, total === 0 ? undefined : total) }
    }
    shown.bar.update(done, total === 0 ? '' : `${formatNumber(done)} of ${count(total, 'row')}`)
  }
  try {
    return await withOperatorStore((store, actor) =>
      importPynomaly(store, {
        path,
        tenant: flags.tenant,
        zone: flags.zone,
        systemZone: new Intl.DateTimeFormat().resolvedOptions().timeZone,
        dryRun: flags.dryRun === true,
        again: flags.again === true,
        actor,
        clock: Date.now,
        signal,
        onProgress,
      }),
    )
  } catch (error) {
    if (signal.aborted) note('Stopped. The same command goes on from here.')
    throw error
  } finally {
    shown?.bar.stop()
  }
}

function printReport(report: ImportReport): void {
  const { stores, passedOver } = report
  for (const store of stores) printStore(store)
  for (const { file, reason } of passedOver) print(`${paint('dim', 'Passed over')} ${file}: ${reason}`)
  if (passedOver.length > 0) print()
  print(report.isRight ? verdict(report) : paint('red', verdict(report)))
}

function printStore({
  name,
  family,
  isRepeated,
  tables,
  unused,
  comparisons,
  quarantine,
}: StoreReport): void {
  print(`${paint('bold', name)}, family ${family}${isRepeated ? ': was imported before' : ''}`)
  print(
    tableLines<TableReport>(tables, [
      ['Table', ({ table }) => table],
      ['Rows', ({ rows }) => formatNumber(rows)],
      ['Stored', ({ stored }) => formatNumber(stored)],
      ['There already', ({ present }) => formatNumber(present)],
      ['Set aside', ({ quarantined }) => formatNumber(quarantined)],
      ['', detailOf],
    ]),
  )
  for (const { table, fills } of tables)
    for (const [what, rows] of Object.entries(fills))
      print(`  ${paint('dim', 'filled in')} ${table}: ${what} (${formatNumber(rows)})`)
  for (const { table, rows, reason } of unused)
    print(`  ${paint('dim', 'left out')} ${table}, ${count(rows, 'row')}: ${reason}`)
  for (const { table, sourceId, place, detail } of quarantine.slice(0, SHOWN_ASIDE))
    print(`  ${paint('yellow', 'set aside')} ${table} ${sourceId ?? `row ${place}`}: ${detail}`)
  if (quarantine.length > SHOWN_ASIDE)
    print(`  … and ${formatNumber(quarantine.length - SHOWN_ASIDE)} more in the report`)
  if (comparisons.length > 0)
    print(
      tableLines<Comparison>(comparisons, [
        ['', (one) => (isSame(one) ? paint('green', '✓') : paint('red', '✗'))],
        ['Compared', ({ what }) => what],
        ['Source', ({ source }) => formatNumber(source)],
        ['Target', ({ target }) => formatNumber(target)],
        ['Checksum of the source', ({ sourceChecksum }) => sourceChecksum],
        ['Of the target', ({ targetChecksum }) => targetChecksum],
      ]),
    )
  print()
}

function detailOf({ findings, series, duplicates, leftOut = [] }: TableReport): string {
  const parts = [
    ...(findings > 0 ? [count(findings, 'row finding')] : []),
    ...(series === undefined ? [] : [`${formatNumber(series)} series`]),
    ...((duplicates ?? 0) > 0 ? [`${formatNumber(duplicates!)} repeat another row`] : []),
    ...(leftOut.length > 0 ? [`not in the names of series: ${leftOut.join(', ')}`] : []),
  ]
  return parts.join(', ')
}
