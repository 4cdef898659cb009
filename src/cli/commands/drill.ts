import { Option, type Command } from 'commander'
import { loadConfig } from '../../config/load.ts'
import { invalidField } from '../../errors.ts'
import { type Preset, PRESETS } from '../../operations/deploy/preset.ts'
import { CommandStrike } from '../../operations/failover/command-strike.ts'
import type { Member } from '../../operations/failover/cluster-view.ts'
import { timeToNextWriteMs } from '../../operations/failover/drill-outcome.ts'
import { type DrillPlan, planDrill, presetOf } from '../../operations/failover/drill-plan.ts'
import { keepReport, listReports } from '../../operations/failover/drill-report.ts'
import { drillInstallation, openPatroni } from '../../operations/failover/open-drill.ts'
import type { DrillPhase, DrillReport } from '../../operations/failover/run-drill.ts'
import { DRILL_KINDS, type DrillKind, KIND_WORDS } from '../../operations/failover/strike.ts'
import { confirm, type ConfirmFlags, withYes } from '../confirm.ts'
import { EXIT_CODES } from '../exit-codes.ts'
import { formatNumber, formatTime } from '../format-cells.ts'
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

interface FailoverFlags extends OutputOptions, ConfirmFlags {
  readonly kind: DrillKind
  readonly preset?: Preset
  readonly strikeCommand: string
  readonly healCommand?: string
  readonly cutCommand?: string
  readonly writesPerSecond: string
}

/** Adds `nomaly drill …`. */
export function registerDrill(program: Command): void {
  const command = program
    .command('drill')
    .description(
      'Tries on purpose what must not be tried for the first time in an emergency. For operators, on the cluster itself.',
    )
  addFailover(command)

  const status = command
    .command('status')
    .description(
      'Shows the members of the cluster, and whether it is fit for a drill. Exit code 1 where it is not.',
    )
  withOutput(status)
  withExamples(status, [['nomaly drill status', '']])
  status.action(async ({ output }: OutputOptions) => showStatus(output))

  const list = command
    .command('list')
    .description('Lists the reports of drills that were kept in the data folder, newest first.')
  withOutput(list)
  withExamples(list, [['nomaly drill list', '']])
  list.action(async ({ output }: OutputOptions) => {
    const reports = await listReports(loadConfig().dataDirectory)
    printItems(
      output,
      reports,
      [
        ['When', ({ struckAt }) => formatTime(struckAt)],
        ['What', ({ plan }) => plan.kind],
        ['Set up to', ({ plan }) => plan.preset.replace('-', ' ')],
        ['Verdict', ({ verdict }) => verdictWord(verdict.passed)],
        ['Next write', ({ outcome }) => milliseconds(timeToNextWriteMs(outcome))],
        ['Missing', ({ outcome }) => String(outcome.counters.missing + outcome.points.missing)],
      ],
      'There was no drill yet. Begin with `nomaly drill status`.',
    )
  })
}

function addFailover(drill: Command): void {
  const command = drill
    .command('failover')
    .description(
      'Loses the leader of the running cluster under a load of its own, and reports the time to the next write, acknowledged writes that ' +
        'are missing, and all else that clients felt. Exit code 1 where a promise was not kept. The blow is struck by a command of yours, ' +
        'which finds NOMALY_DRILL_KIND, NOMALY_DRILL_NODE, NOMALY_DRILL_HOST and NOMALY_DRILL_PORT in its environment.',
    )
    .addOption(new Option('--kind <kind>', 'what happens to the leader').choices(DRILL_KINDS).default('kill'))
    .addOption(
      new Option('--preset <preset>', 'refuse where the cluster is set up otherwise').choices(PRESETS),
    )
    .requiredOption('--strike-command <command>', 'strikes the blow')
    .option(
      '--heal-command <command>',
      'takes it back: starts or thaws the node; what supervises it does, otherwise',
    )
    .option(
      '--cut-command <command>',
      'stops replication from the leader a moment before; left out otherwise',
    )
    .option('--writes-per-second <number>', 'how much is written', '200')
  withYes(command)
  withOutput(command)
  withExamples(command, [
    [
      `nomaly drill failover --strike-command 'ssh "$NOMALY_DRILL_HOST" sudo systemctl kill -s KILL patroni'`,
      'kill the leader',
    ],
    [
      `nomaly drill failover --kind freeze --strike-command 'ssh "$NOMALY_DRILL_HOST" sudo systemctl kill -s STOP patroni' --heal-command 'ssh "$NOMALY_DRILL_HOST" sudo systemctl kill -s CONT patroni'`,
      'freeze it',
    ],
  ])
  command.action(async (flags: FailoverFlags) => {
    const writesPerSecond = Number(flags.writesPerSecond)
    if (!Number.isInteger(writesPerSecond) || writesPerSecond < 10 || writesPerSecond > 100_000)
      throw invalidField('writes-per-second', 'must be a whole number from 10 to 100000')
    const config = loadConfig()
    const patroni = openPatroni(config)
    const plan = planDrill(flags.kind, await patroni.cluster(), await patroni.settings(), flags.preset)
    await confirm(`${KIND_WORDS[plan.kind]} (${plan.leader.name}), under load, for real.`, flags)
    const report = await interruptible((signal) => failover(flags, writesPerSecond, signal))
    const kept = await keepReport(config.dataDirectory, report).catch((error: Error) => {
      note(`The report could not be kept in ${config.dataDirectory}: ${error.message}`)
      return undefined
    })
    if (flags.output === 'table') printReport(report)
    else printJson(report)
    if (kept !== undefined) note(`Kept as ${kept.markdown}`)
    if (!report.verdict.passed) process.exitCode = EXIT_CODES.failed
  })
}

async function failover(
  flags: FailoverFlags,
  writesPerSecond: number,
  signal: AbortSignal,
): Promise<DrillReport> {
  let bar: Progress | undefined
  const onPhase = (phase: DrillPhase): void => {
    bar?.stop()
    bar = new Progress(phase[0]!.toUpperCase() + phase.slice(1), undefined)
  }
  const ticker = setInterval(() => bar?.update(0, ''), 500)
  try {
    return await drillInstallation(
      loadConfig(),
      {
        kind: flags.kind,
        preset: flags.preset,
        strike: new CommandStrike({
          strike: flags.strikeCommand,
          heal: flags.healCommand,
          cut: flags.cutCommand,
        }),
        writesPerSecond,
        clock: Date.now,
        signal,
        onPlan: sayPlan,
        onPhase,
      },
      () => {},
    )
  } finally {
    clearInterval(ticker)
    bar?.stop()
  }
}

function sayPlan({ leader, preset, maxPauseMs }: DrillPlan, lossBoundBytes: number): void {
  note(
    `${leader.name} leads, and the cluster is set up to ${preset.replace('-', ' ')}: ` +
      `${lossBoundBytes === 0 ? 'nothing that was acknowledged' : `at most ${formatNumber(lossBoundBytes)} bytes of the log`} may be lost, ` +
      `and writes may be gone for ${formatNumber(maxPauseMs / 1000)} s.`,
  )
}

function printReport({ plan, outcome, verdict }: DrillReport): void {
  print(
    `${paint('bold', `The drill ${verdictWord(verdict.passed)}`)}: ${KIND_WORDS[plan.kind]} (${outcome.leaderBefore}).`,
  )
  if (!outcome.isReplicationCut && plan.kind !== 'etcd' && plan.kind !== 'patroni')
    print(
      'Replication was not cut before: what the network still delivers of a dead leader is not put to the test.',
    )
  print(`Time to the next write: ${milliseconds(timeToNextWriteMs(outcome))}`)
  print(
    tableLines(verdict.checks, [
      ['', ({ passed }) => (passed ? paint('green', '✓') : paint('red', '✗'))],
      ['Promise', ({ name }) => name],
      ['What was seen', ({ detail }) => detail],
    ]),
  )
}

async function showStatus(output: OutputOptions['output']): Promise<void> {
  const patroni = openPatroni(loadConfig())
  const [view, settings] = [await patroni.cluster(), await patroni.settings()]
  const problem = problemOf(() => planDrill('kill', view, settings, undefined))
  if (problem !== undefined) process.exitCode = EXIT_CODES.failed
  const { members, isPaused } = view
  if (output !== 'table')
    return printJson({ preset: presetOf(settings), isPaused, members, settings, problem: problem ?? null })
  print(
    tableLines<Member>(members, [
      ['Member', ({ name }) => name],
      ['Role', ({ role }) => role.replace('_', ' ')],
      ['Up', ({ isUp }) => (isUp ? 'yes' : paint('red', 'no'))],
      ['Timeline', ({ timeline }) => String(timeline ?? '–')],
      ['Behind, bytes', ({ lagBytes }) => (lagBytes === undefined ? '–' : formatNumber(lagBytes))],
      ['Address', ({ host, port }) => `${host}:${port}`],
    ]),
  )
  print(`Set up to ${presetOf(settings).replace('-', ' ')}. ${problem ?? paint('green', 'Fit for a drill.')}`)
}

function problemOf(plan: () => DrillPlan): string | undefined {
  try {
    plan()
    return undefined
  } catch (error) {
    return (error as Error).message
  }
}

function verdictWord(passed: boolean): string {
  return passed ? paint('green', 'passed') : paint('red', 'failed')
}

function milliseconds(ms: number | undefined): string {
  return ms === undefined ? 'none came' : `${formatNumber(Math.round(ms))} ms`
}
