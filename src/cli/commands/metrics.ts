import { Option, type Command } from 'commander'
import { loadConfig } from '../../config/load.ts'
import { NomalyError } from '../../errors.ts'
import type { EngineName } from '../../operations/metrics-engine-choice.ts'
import type { MoveProgress, MoveReport } from '../../operations/move/move-metrics.ts'
import { type MetricsStatus, type Mover, openMover } from '../../operations/move/open-mover.ts'
import { count, formatNumber, formatTime } from '../format-cells.ts'
import { withExamples } from '../help-examples.ts'
import { interruptible } from '../interruption.ts'
import { note, type OutputOptions, paint, print, printJson, tableLines, withOutput } from '../output.ts'
import { Progress } from '../progress.ts'

interface MoveFlags extends OutputOptions {
  readonly to?: EngineName
  readonly cancel?: boolean
}

/** Adds `nomaly metrics …`. */
export function registerMetrics(program: Command): void {
  const command = program
    .command('metrics')
    .description('Where the points of this installation are kept. For operators, on the database itself.')

  const status = command
    .command('status')
    .description('Shows which engine keeps the points, how many about, and how far a move is.')
  withOutput(status)
  withExamples(status, [['nomaly metrics status', '']])
  status.action(async ({ output }: OutputOptions) => {
    const found = await withMover((mover) => mover.status())
    if (output === 'table') printStatus(found)
    else printJson(found)
  })

  const move = command
    .command('move')
    .description(
      'Moves all points between plain PostgreSQL and TimescaleDB in the same database, while the server runs and points arrive. Both ' +
        'copies are compared before the switch. It needs room for both. Interrupted, it goes on when it is called again.',
    )
    .addOption(new Option('--to <engine>', 'where to').choices(['timescale', 'partitioned']))
    .option('--cancel', 'give up a move that has not switched yet')
  withOutput(move)
  withExamples(move, [
    ['nomaly metrics move --to timescale', 'after TimescaleDB was installed on the server'],
    ['nomaly metrics move --cancel', 'stay where the points are'],
  ])
  move.action(async ({ to, cancel, output }: MoveFlags) => {
    if ((to === undefined) === (cancel !== true))
      throw new NomalyError('invalid_input', 'Say where to move the points, or to cancel.', {
        hint: 'Give either --to timescale, --to partitioned or --cancel.',
        problems: [{ field: 'to', reason: 'must be given, unless --cancel is' }],
      })
    if (to === undefined) return cancelMove(output)
    const report = await interruptible((signal) => withMover((mover) => moveTo(mover, to, signal)))
    if (output === 'table') printReport(report)
    else printJson(report)
  })
}

async function cancelMove(output: OutputOptions['output']): Promise<void> {
  const cancelled = await withMover((mover) => mover.cancel())
  if (output !== 'table') printJson({ cancelled })
  else print(cancelled ? 'The move was given up; the points are where they were.' : 'No move is under way.')
}

async function moveTo(mover: Mover, to: EngineName, signal: AbortSignal): Promise<MoveReport> {
  let shown: { readonly phase: MoveProgress['phase']; readonly bar: Progress } | undefined
  const progress = ({ phase, done, total, points }: MoveProgress): void => {
    if (shown?.phase !== phase) {
      shown?.bar.stop()
      shown = { phase, bar: new Progress(titleOf(phase), total === 0 ? undefined : total) }
    }
    const detail = `${done} of ${count(total, 'part')}${points === 0 ? '' : `, ${formatNumber(points)} points`}`
    shown.bar.update(done, total === 0 ? '' : detail)
  }
  try {
    return await mover.move(to, signal, progress)
  } catch (error) {
    if (signal.aborted) note('Stopped. The same command goes on from here.')
    throw error
  } finally {
    shown?.bar.stop()
  }
}

function titleOf(phase: MoveProgress['phase']): string {
  return phase[0]!.toUpperCase() + phase.slice(1)
}

function printReport({ engine, hasMoved, points, repaired, writersWaitedMs, isCleared }: MoveReport): void {
  if (!hasMoved) print(`The points are in ${paint('bold', engine)} already.`)
  else {
    print(`${formatNumber(points)} points are in ${paint('bold', engine)} now; both copies were the same.`)
    if (repaired > 0) print(`${count(repaired, 'part')} had to be copied again.`)
    print(`Writes waited ${Math.round(writersWaitedMs)} ms at the switch.`)
  }
  if (!isCleared)
    print('Some of the former tables is still being read: call this again later to free the room they take.')
}

function printStatus({ engine, movingTo, windows, classes }: MetricsStatus): void {
  print(`Points are kept in ${paint('bold', engine)}.`)
  if (movingTo !== undefined)
    print(
      `A move to ${movingTo} is under way: ${windows.copied} of ${count(windows.total, 'part')} copied, ${windows.verified} compared.`,
    )
  print(
    tableLines(classes, [
      ['Kept', ({ retention }) => retention],
      [engine === 'timescale' ? 'Chunks' : 'Partitions', ({ parts }) => String(parts)],
      ['Points, about', ({ points }) => formatNumber(points)],
      ['From', ({ fromMs }) => formatTime(fromMs)],
      ['To', ({ toMs }) => formatTime(toMs)],
    ]),
  )
}

async function withMover<T>(work: (mover: Mover) => Promise<T>): Promise<T> {
  await using mover = await openMover(loadConfig(), note)
  return await work(mover)
}
