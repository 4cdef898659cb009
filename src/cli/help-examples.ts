import { styleText } from 'node:util'
import type { Command } from 'commander'

/** Adds examples, each a command line and what it does, below the help of a command. */
export function withExamples(
  command: Command,
  examples: readonly (readonly [line: string, what: string])[],
): Command {
  const width = Math.max(...examples.map(([line]) => line.length))
  const lines = examples.map(([line, what]) => `  ${line.padEnd(width)}  ${dim(what)}`)
  return command.addHelpText('after', `\n${styleText('bold', 'Examples:')}\n${lines.join('\n')}`)
}

function dim(text: string): string {
  return styleText('dim', text)
}
