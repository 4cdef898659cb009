import { InvalidArgumentError, type Command } from 'commander'
import { loadConfig, secretFiles } from '../../config/load.ts'
import type { Verdict } from '../../operations/doctor/check.ts'
import { type CheckReport, type DoctorReport, examine } from '../../operations/doctor/examine.ts'
import { EXIT_CODES } from '../exit-codes.ts'
import { count } from '../format-cells.ts'
import { withExamples } from '../help-examples.ts'
import { interruptible } from '../interruption.ts'
import { type OutputOptions, paint, print, printJson, terminalWidth, withOutput } from '../output.ts'
import { Progress } from '../progress.ts'
import { wrapped } from '../wrap-text.ts'

interface DoctorFlags extends OutputOptions {
  readonly processes?: number
  readonly strict?: boolean
}

/** Adds `nomaly doctor`. */
export function registerDoctor(program: Command): void {
  const command = program
    .command('doctor')
    .description(
      'Looks at the databases, Redis and this machine for what is wrong, or will be, and says what it means and what to do. Changes ' +
        'nothing. Exit code 1 where something fails.',
    )
    .argument('[checks...]', 'names of checks; all of them where none is given')
    .option(
      '--processes <number>',
      'reckon with so many processes of Nomaly instead of those that are connected',
      wholeNumber,
    )
    .option('--strict', 'exit code 1 for warnings too')
  withOutput(command)
  withExamples(command, [
    ['nomaly doctor', ''],
    ['nomaly doctor connections --processes 6', 'would six processes have enough connections?'],
    ['nomaly doctor --strict -o json', 'from a monitor'],
  ])
  command.action(async (names: string[], { output, processes, strict }: DoctorFlags) => {
    const report = await interruptible((signal) => look(names, processes, signal))
    if (output === 'json') printJson(report)
    else if (output === 'ndjson') for (const check of report.checks) print(JSON.stringify(check))
    else printReport(report)
    const isBad = report.verdict === 'fail' || (strict === true && report.verdict === 'warn')
    if (isBad) process.exitCode = EXIT_CODES.failed
  })
}

async function look(
  only: readonly string[],
  processes: number | undefined,
  signal: AbortSignal,
): Promise<DoctorReport> {
  let bar: Progress | undefined
  try {
    return await examine({
      config: loadConfig(),
      clock: Date.now,
      processes,
      secretFiles: secretFiles(),
      only,
      signal,
      progress: (done, total, name) => {
        bar ??= new Progress('Looking', total)
        bar.update(done, name)
      },
    })
  } finally {
    bar?.stop()
  }
}

const MARKS: Readonly<Record<Verdict, readonly [colour: 'green' | 'yellow' | 'red', text: string]>> = {
  ok: ['green', 'ok  '],
  warn: ['yellow', 'warn'],
  fail: ['red', 'FAIL'],
}

function printReport({ checks }: DoctorReport): void {
  const [names, subjects] = [checks.map(({ check }) => check), checks.map(({ subject }) => subject)]
  const [nameWidth, subjectWidth] = [names, subjects].map((all) =>
    Math.max(...all.map(({ length }) => length)),
  )
  for (const found of checks) {
    const { check, subject, verdict } = found
    const head = `${paint(...MARKS[verdict])}  ${check.padEnd(nameWidth!)}  ${paint('dim', subject.padEnd(subjectWidth!))}  `
    const indent = 4 + 2 + nameWidth! + 2 + subjectWidth! + 2
    const lines = textOf(found).flatMap((text) => wrapped(text, Math.max(40, terminalWidth() - indent)))
    for (const [at, line] of lines.entries()) print(`${at === 0 ? head : ' '.repeat(indent)}${line}`)
  }
  print(`\n${sumUp(checks)}`)
}

function textOf({ says, means, todo }: CheckReport): string[] {
  return [says, ...(means === undefined ? [] : [means]), ...(todo === undefined ? [] : [`→ ${todo}`])]
}

function sumUp(checks: readonly CheckReport[]): string {
  const number = (verdict: Verdict): number => checks.filter((check) => check.verdict === verdict).length
  const [failed, warned] = [number('fail'), number('warn')]
  if (failed === 0 && warned === 0) return paint('green', `All is well: ${count(checks.length, 'check')}.`)
  return [
    ...(failed === 0 ? [] : [paint('red', `${failed} ${failed === 1 ? 'fails' : 'fail'}`)]),
    ...(warned === 0 ? [] : [paint('yellow', count(warned, 'warning'))]),
    `${number('ok')} ok`,
  ].join(', ')
}

function wholeNumber(text: string): number {
  const number = Number(text)
  if (!Number.isInteger(number) || number < 1 || number > 1000)
    throw new InvalidArgumentError('It must be a whole number from 1 to 1000.')
  return number
}
