import type { Command } from 'commander'
import { loadConfig } from '../../config/load.ts'
import { openPatroni, switchInstallation } from '../../operations/failover/open-drill.ts'
import { planSwitchover } from '../../operations/failover/plan-switchover.ts'
import type { SwitchoverPhase, SwitchoverReport } from '../../operations/failover/run-switchover.ts'
import { confirm, type ConfirmFlags, withYes } from '../confirm.ts'
import { EXIT_CODES } from '../exit-codes.ts'
import { formatNumber } from '../format-cells.ts'
import { withExamples } from '../help-examples.ts'
import { interruptible } from '../interruption.ts'
import { type OutputOptions, paint, print, printItem, printJson, withOutput } from '../output.ts'
import { Progress } from '../progress.ts'

interface SwitchoverFlags extends OutputOptions, ConfirmFlags {
  readonly to?: string
}

/** Adds `nomaly switchover`. */
export function registerSwitchover(program: Command): void {
  const command = program
    .command('switchover')
    .description(
      'Has another member lead the cluster of NOMALY_PATRONI_URLS, for maintenance: every process of the installation holds up what begins, ' +
        'what has begun is waited for, Patroni switches, and all go on. Nothing fails but by waiting; the longest wait is reported. Exit ' +
        'code 1 where something of its own writes and reads did fail, or the former leader does not come back.',
    )
    .option('--to <member>', 'who is to lead; the standby that is least behind otherwise')
  withYes(command)
  withOutput(command)
  withExamples(command, [
    ['nomaly switchover', 'before the leader’s machine is restarted'],
    ['nomaly switchover --to db2 --yes -o json', 'in a script'],
  ])
  command.action(async (flags: SwitchoverFlags) => {
    const patroni = openPatroni(loadConfig())
    const plan = planSwitchover(await patroni.cluster(), await patroni.settings(), flags.to)
    await confirm(`${plan.leader.name} hands over to ${plan.candidate.name}.`, flags)
    const report = await interruptible((signal) => switchOver(plan.candidate.name, signal))
    if (flags.output === 'table') printReport(report)
    else printJson(report)
    if (Object.keys(report.errors).length > 0 || !report.hasRejoined) process.exitCode = EXIT_CODES.failed
  })
}

async function switchOver(to: string, signal: AbortSignal): Promise<SwitchoverReport> {
  let bar: Progress | undefined
  const onPhase = (phase: SwitchoverPhase): void => {
    bar?.stop()
    bar = new Progress(phase[0]!.toUpperCase() + phase.slice(1), undefined)
  }
  const ticker = setInterval(() => bar?.update(0, ''), 500)
  try {
    return await switchInstallation(loadConfig(), { to, clock: Date.now, signal, onPhase }, () => {})
  } finally {
    clearInterval(ticker)
    bar?.stop()
  }
}

function printReport(report: SwitchoverReport): void {
  const errors = Object.entries(report.errors).map(([code, times]) => `${times} × ${code}`)
  print(`${paint('bold', report.to)} leads now, after ${report.from}.`)
  printItem('table', report, [
    ['Longest wait', ({ longestStallMs }) => `${formatNumber(Math.round(longestStallMs))} ms`],
    ['Until all had paused', ({ drainedAfterMs }) => `${formatNumber(Math.round(drainedAfterMs))} ms`],
    ['Patroni took', ({ switchedAfterMs }) => `${formatNumber(Math.round(switchedAfterMs))} ms`],
    ['Own writes and reads', ({ writes, reads }) => `${formatNumber(writes)} and ${formatNumber(reads)}`],
    ['Failed', () => (errors.length === 0 ? paint('green', 'none') : paint('red', errors.join(', ')))],
    [
      report.from,
      ({ hasRejoined }) => (hasRejoined ? 'follows' : paint('red', 'does not follow yet: look at its log')),
    ],
  ])
}
