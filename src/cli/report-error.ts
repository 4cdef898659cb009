import { styleText } from 'node:util'
import { NomalyError } from '../errors.ts'
import { EXIT_CODES } from './exit-codes.ts'

/** Writes what went wrong and what to do about it to standard error; answers the exit code. */
export function reportError(error: unknown): number {
  if (error instanceof Error && error.name === 'AbortError') {
    write('Interrupted.')
    return EXIT_CODES.interrupted
  }
  const { message, hint, problems } = explain(error)
  write(`${styleText(['red', 'bold'], 'Error:', { stream: process.stderr })} ${message}`)
  // A single one is what the message is about.
  if (problems.length > 1) for (const { field, reason } of problems) write(`  ${field}: ${reason}`)
  if (hint !== undefined) write(`${styleText('dim', 'Hint: ', { stream: process.stderr })} ${hint}`)
  return EXIT_CODES.failed
}

function write(line: string): void {
  process.stderr.write(`${line}\n`)
}

function explain(error: unknown): Pick<NomalyError, 'message' | 'hint' | 'problems'> {
  if (error instanceof NomalyError) return error
  const message = error instanceof Error ? error.message : String(error)
  return {
    message,
    hint: 'This should not happen. Please report it with the command you gave.',
    problems: [],
  }
}
