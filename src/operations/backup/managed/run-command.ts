import { spawn } from 'node:child_process'
import { NomalyError } from '../../../errors.ts'

export interface CommandRun {
  /** The setting that names the command, for messages. */
  readonly setting: string
  /** For `sh`. */
  readonly command: string
  readonly variables: Readonly<Record<string, string>>
  /** What it reads from standard input: secrets do not stand where others see them. */
  readonly input?: string
  readonly signal: AbortSignal
  readonly timeoutMs: number
}

const MOST_OUTPUT = 16 * 1024 * 1024
const MOST_SAID = 2_000

/**
 * Runs a command of the operator's own, and answers what it prints.
 * @throws NomalyError `unavailable` with what it said where it fails or takes too long.
 */
export async function runCommand(run: CommandRun): Promise<string> {
  const { setting, command, variables, input = '', signal, timeoutMs } = run
  signal.throwIfAborted()
  const timeout = AbortSignal.timeout(timeoutMs)
  const child = spawn(
    'env',
    [...Object.entries(variables).map(([name, value]) => `${name}=${value}`), 'sh', '-c', command],
    {
      stdio: ['pipe', 'pipe', 'pipe'],
      signal: AbortSignal.any([signal, timeout]),
      killSignal: 'SIGKILL',
    },
  )
  const said = { out: '', err: '' }
  child.stdout.on('data', (part: Buffer) => {
    if (said.out.length < MOST_OUTPUT) said.out += part.toString('utf8')
  })
  child.stderr.on('data', (part: Buffer) => (said.err = (said.err + part.toString('utf8')).slice(-MOST_SAID)))
  // One that does not read it has ended, and says so itself.
  child.stdin.on('error', () => {})
  child.stdin.end(input)
  const outcome = await new Promise<string | undefined>((resolve) => {
    child.on('error', (error) =>
      resolve(timeout.aborted ? `did not end within ${timeoutMs / 1000} s` : error.message),
    )
    child.on('close', (code, killedBy) => resolve(code === 0 ? undefined : `ended with ${code ?? killedBy}`))
  })
  signal.throwIfAborted()
  if (outcome === undefined) return said.out
  throw new NomalyError(
    'unavailable',
    `The command of ${setting} ${outcome}: ${said.err.trim() || 'it said nothing'}.`,
    {
      hint: 'It is run by sh; try it by hand.',
    },
  )
}
