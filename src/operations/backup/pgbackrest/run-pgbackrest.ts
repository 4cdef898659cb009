import { spawn } from 'node:child_process'
import { createInterface } from 'node:readline'
import { identityOf, type ServerAccount } from '../../../database/server-account.ts'
import { NomalyError } from '../../../errors.ts'

/** How pgBackRest is run for a cluster. */
export interface PgbackrestRunner {
  readonly program: string
  readonly configFile: string
  readonly stanza: string
  /** The user that the server's processes run as, whom all files belong to. */
  readonly account: ServerAccount
  /** A folder of that user, for what libraries look for at home. */
  readonly home: string
  /** Of the administrator of the database; nothing where none is needed. */
  readonly password: string | undefined
}

export interface PgbackrestRun {
  readonly signal: AbortSignal
  /** Options and the command, without those that say which stanza. */
  readonly args: readonly string[]
  /** Hears each line of standard output. */
  readonly onLine?: (line: string) => void
  readonly timeoutMs?: number
}

const TIMEOUT_MS = 24 * 3_600_000
const STOP_MS = 10_000
/** The most of its output that is kept. */
const MAX_OUTPUT = 64 * 1024 * 1024
/** Exit codes that say what to do (pgBackRest, src/build/error/error.yaml). */
const HINTS: Readonly<Record<number, string>> = {
  40: 'The folder to restore to is not empty.',
  50: 'Another process of pgBackRest works on this stanza; wait until it is done.',
  55: 'A file is missing: `nomaly backup verify` says what is.',
  56: 'Is the server of the database running, and on this machine?',
  75: 'No backup reaches what is to be restored: `nomaly backup list` shows what there is.',
  82: 'The log of the server does not arrive in the repository: its own log says why.',
}

/**
 * Runs pgBackRest and answers its standard output.
 * @throws NomalyError `unavailable` with the first of its errors, or where it is not installed.
 */
export async function runPgbackrest(
  { program, configFile, stanza, account, home, password }: PgbackrestRunner,
  { signal, args, onLine, timeoutMs = TIMEOUT_MS }: PgbackrestRun,
): Promise<string> {
  signal.throwIfAborted()
  const child = spawn(program, [`--config=${configFile}`, `--stanza=${stanza}`, ...args], {
    cwd: '/',
    env: {
      PATH: '/usr/local/bin:/usr/bin:/bin',
      LC_ALL: 'C',
      TZ: 'UTC',
      HOME: home,
      ...(password === undefined ? {} : { PGPASSWORD: password }),
    },
    stdio: ['ignore', 'pipe', 'pipe'],
    ...identityOf(account),
  })
  const stop = (): void => {
    child.kill('SIGTERM')
    setTimeout(() => child.kill('SIGKILL'), STOP_MS).unref()
  }
  const timer = setTimeout(stop, timeoutMs)
  signal.addEventListener('abort', stop, { once: true })
  const said = { out: '', err: '' }
  const ended = new Promise<number>((resolve, reject) => {
    child.once('error', reject)
    child.once('close', (code) => resolve(code ?? -1))
  })
  createInterface({ input: child.stdout }).on('line', (line) => {
    if (said.out.length < MAX_OUTPUT) said.out += `${line}\n`
    onLine?.(line)
  })
  child.stderr.on('data', (data: Buffer) => (said.err = (said.err + data.toString('utf8')).slice(-100_000)))
  try {
    const code = await ended
    signal.throwIfAborted()
    if (code === 0) return said.out
    throw explain(code, `${said.err}\n${said.out}`)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error
    throw new NomalyError('unavailable', `pgBackRest is not installed here (${program}).`, {
      hint: 'Install it on the machine of the database (`apt-get install pgbackrest`), or name it with NOMALY_PGBACKREST.',
      cause: error,
    })
  } finally {
    clearTimeout(timer)
    signal.removeEventListener('abort', stop)
  }
}

function explain(code: number, text: string): NomalyError {
  const [, first] = /ERROR: (?:\[\d+\]: )?(.+)/.exec(text) ?? []
  // What it repeats of its options may hold a secret only where it says "redacted" instead; an error quotes none.
  return new NomalyError(
    'unavailable',
    `pgBackRest failed: ${(first ?? `exit code ${code}`).slice(0, 500)}`,
    {
      hint: HINTS[code] ?? 'Its documentation explains the error: https://pgbackrest.org/user-guide.html.',
      cause: new Error(text.slice(-4_000)),
    },
  )
}
