import { type Command, InvalidArgumentError } from 'commander'
import { loadConfig } from '../../config/load.ts'
import { NomalyError } from '../../errors.ts'
import { countSubject } from '../../operations/erasure/count-subject.ts'
import type { ErasedCounts, ErasureSubject } from '../../operations/erasure/erasure.ts'
import type { LedgerEntry } from '../../operations/erasure/erasure-ledger.ts'
import type { ErasureStep, ErasureWork } from '../../operations/erasure/erasure-site.ts'
import { Eraser } from '../../operations/erasure/open-eraser.ts'
import type { Receipt } from '../../operations/erasure/receipt.ts'
import {
  type Named,
  requireOtherAdmin,
  resolveSeries,
  resolveTenant,
  resolveUser,
} from '../../operations/erasure/resolve-subject.ts'
import { confirm, type ConfirmFlags, withYes } from '../confirm.ts'
import { count } from '../format-cells.ts'
import { withExamples } from '../help-examples.ts'
import { interruptible } from '../interruption.ts'
import { operatorActor } from '../operator-store.ts'
import { note, type OutputOptions, print, printItems, printJson, tableLines, withOutput } from '../output.ts'
import { Progress } from '../progress.ts'
import { printReceipt } from '../erasure-receipt.ts'

interface EraseFlags extends OutputOptions, ConfirmFlags {
  readonly tenant?: string
  readonly user?: string
  readonly series?: readonly number[]
  readonly dryRun?: boolean
  readonly list?: boolean
  readonly resume?: boolean
}

/** Adds `nomaly erase`. */
export function registerErase(program: Command): void {
  const command = program
    .command('erase')
    .description(
      'Removes a tenant, a person or series from databases, cache and queue, writes the tables anew that they were in, each locked meanwhile, and ' +
        'empties the write-ahead log. A ledger of it has databases that are restored from before do the same. It cannot be undone.',
    )
    .option('--tenant <name>', 'the tenant; with --user or --series, whose they are')
    .option('--user <name>', 'the person: name or id of their API key, address of their account')
    .option('--series <ids>', 'ids of series, with commas', seriesIds)
    .option('--dry-run', 'only count what would be removed')
    .option('--resume', 'go on with what was interrupted')
    .option('--list', 'show the ledger')
  withOutput(withYes(command))
  withExamples(command, [
    ['nomaly erase --tenant acme --dry-run', 'what is there of it?'],
    ['nomaly erase --user alice', 'asks first'],
    ['nomaly erase --series 12,13 --yes', ''],
    ['nomaly erase --list', 'what was erased, and when'],
  ])
  command.action(async (flags: EraseFlags) => {
    requireOneWish(flags)
    await interruptible((signal) => run(flags, signal))
  })
}

async function run(flags: EraseFlags, signal: AbortSignal): Promise<void> {
  await using eraser = await Eraser.open(loadConfig(), { log: note })
  if (flags.list === true) return printLedger(await eraser.ledger(), flags.output)
  if (flags.resume === true) {
    const receipts = await withProgress(signal, (work) => eraser.resume(work))
    if (flags.output !== 'table') printItems(flags.output, receipts, [], '')
    else if (receipts.length === 0) print('Nothing was interrupted.')
    else for (const receipt of receipts) printReceipt(receipt)
    return
  }
  const named = await resolve(eraser, flags)
  const counts = await countSubject(eraser.site, named.subject, signal)
  if (flags.dryRun === true) return printCounts(named, counts, flags.output)
  if (Object.keys(counts).length === 0)
    throw new NomalyError('not_found', `Nothing is kept of ${named.says}.`, {
      hint: 'What was erased before is shown by `nomaly erase --list`.',
    })
  if (named.subject.kind === 'user') await requireOtherAdmin(eraser.site.core, named.subject)
  if (flags.yes !== true) for (const line of countLines(counts)) note(line)
  if (!eraser.hasCopy)
    note(
      'There is no data folder here, so the ledger has no copy outside the database. Set NOMALY_ERASURE_LEDGER: a restored database could not know of this otherwise.',
    )
  await confirm(`Erase ${named.says} for good?`, flags)
  const receipt = await withProgress(signal, (work) => eraser.erase(named, operatorActor(), work))
  if (flags.output === 'table') printReceipt(receipt)
  else printJson(receipt)
}

async function resolve(
  { site }: Eraser,
  { tenant, user, series }: EraseFlags,
): Promise<Named<ErasureSubject>> {
  if (user !== undefined) return resolveUser(site.core, user, tenant)
  if (series !== undefined) return resolveSeries(site.core, site.metrics.admin, series, tenant)
  return resolveTenant(site.core, tenant!)
}

function requireOneWish({ tenant, user, series, list, resume }: EraseFlags): void {
  const wishes = [user ?? series ?? tenant, list, resume].filter((wish) => wish !== undefined)
  if (wishes.length === 1 && (user === undefined || series === undefined)) return
  throw new NomalyError('invalid_input', 'Say what to erase.', {
    hint: 'Give one of --tenant NAME, --user NAME, --series IDS, --resume or --list; --tenant may also say whose user or series is meant.',
    problems: [{ field: 'tenant', reason: 'exactly one wish must be given' }],
  })
}

async function withProgress<T>(signal: AbortSignal, work: (work: ErasureWork) => Promise<T>): Promise<T> {
  let shown: { readonly step: ErasureStep['step']; readonly bar: Progress } | undefined
  const progress = ({ step, done, total }: ErasureStep): void => {
    if (shown?.step !== step) {
      shown?.bar.stop()
      shown = {
        step,
        bar: new Progress(step[0]!.toUpperCase() + step.slice(1), total === 0 ? undefined : total),
      }
    }
    shown.bar.update(done, `${done} of ${total}`)
  }
  try {
    return await work({ signal, now: () => new Date(), progress })
  } catch (error) {
    if (signal.aborted) note('Stopped. Go on with `nomaly erase --resume`; a start of the server does, too.')
    throw error
  } finally {
    shown?.bar.stop()
  }
}

function printCounts(
  { says, subject }: Named<ErasureSubject>,
  counts: ErasedCounts,
  output: OutputOptions['output'],
): void {
  if (output !== 'table') return printJson({ subject, counts })
  const lines = countLines(counts)
  if (lines.length === 0) return print(`Nothing is kept of ${says}.`)
  print(`Of ${says} there are:`)
  for (const line of lines) print(line)
}

function countLines(counts: ErasedCounts): string[] {
  const rows = Object.entries(counts)
  if (rows.length === 0) return []
  return tableLines(rows, [
    ['What', ([name]) => name],
    ['Count', ([, number]) => number.toLocaleString('en-US')],
  ]).split('\n')
}

function printLedger(ledger: readonly LedgerEntry[], output: OutputOptions['output']): void {
  if (output === 'json') return printJson(ledger)
  printItems(
    output,
    ledger,
    [
      ['Asked for', ({ requestedAt }) => requestedAt],
      ['What', ({ subject }) => subject.kind],
      ['By', ({ requestedBy }) => requestedBy],
      ['State', ({ receipt }) => stateOf(receipt)],
      ['Id', ({ id }) => id],
    ],
    'Nothing was ever erased here.',
  )
}

function stateOf(receipt: Receipt | undefined): string {
  if (receipt === undefined) return 'interrupted: `nomaly erase --resume`'
  return receipt.left.length === 0 ? 'done' : `done; ${count(receipt.left.length, 'thing')} left`
}

function seriesIds(text: string): number[] {
  const ids = text.split(',').map(Number)
  if (ids.some((id) => !Number.isInteger(id) || id < 1 || id > 0x7fff_ffff) || ids.length > 10_000)
    throw new InvalidArgumentError(
      'They must be up to 10,000 whole numbers with commas, as `nomaly series list` shows them.',
    )
  return ids
}
