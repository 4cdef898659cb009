import type { Command } from 'commander'
import { loadConfig } from '../../config/load.ts'
import { configReference } from '../../config/reference.ts'
import { CONFIG_OPTIONS, type Option } from '../../config/schema.ts'
import { withExamples } from '../help-examples.ts'
import { type OutputOptions, print, printJson, tableLines, withOutput } from '../output.ts'

interface Row {
  readonly variable: string
  readonly value: string | number | null
}

/** Adds `nomaly config`. */
export function registerConfig(program: Command): void {
  const command = program
    .command('config')
    .description('The settings: those in effect, and the reference of all.')
  const show = command
    .command('show')
    .description('Prints the settings in effect; secrets are only said to be set.')
  withOutput(show)
  withExamples(show, [['NOMALY_PORT=9000 nomaly config show', '']])
  show.action(({ output }: OutputOptions) => {
    const rows = readRows()
    if (output !== 'table')
      printJson(Object.fromEntries(rows.map(({ variable, value }) => [variable, value])))
    else
      print(
        tableLines(rows, [
          ['Variable', ({ variable }) => variable],
          ['Value', ({ value }) => String(value ?? '–')],
        ]),
      )
  })
  const reference = command.command('reference').description('Prints what every setting does, as Markdown.')
  withExamples(reference, [['nomaly config reference | less', '']])
  reference.action(() => print(configReference()))
}

function readRows(): Row[] {
  const config = loadConfig() as unknown as Record<string, string | number | undefined>
  return (Object.entries(CONFIG_OPTIONS) as [string, Option<unknown>][]).map(([name, { env, secret }]) => {
    const value = config[name]
    return { variable: env, value: secret === true && value !== undefined ? '(set)' : (value ?? null) }
  })
}
