import { createInterface } from 'node:readline/promises'
import type { Command } from 'commander'
import { NomalyError } from '../errors.ts'

export interface ConfirmFlags {
  readonly yes?: boolean
}

/** Adds `--yes`. */
export function withYes(command: Command): Command {
  return command.option('-y, --yes', 'do not ask')
}

/** Asks before what cannot be undone; throws when the answer is no, or when there is nobody to ask. */
export async function confirm(question: string, flags: ConfirmFlags): Promise<void> {
  if (flags.yes === true) return
  if (!process.stdin.isTTY || !process.stderr.isTTY) {
    throw new NomalyError('invalid_input', `${question} This needs a yes, and nobody is there to ask.`, {
      hint: 'Add --yes.',
    })
  }
  const terminal = createInterface({ input: process.stdin, output: process.stderr })
  try {
    const answer = await terminal.question(`${question} Type yes to go on: `)
    if (/^y(es)?$/i.test(answer.trim())) return
  } finally {
    terminal.close()
  }
  throw new NomalyError('invalid_input', 'Nothing was changed.')
}
