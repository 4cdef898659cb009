import { spawn } from 'node:child_process'
import { NomalyError } from '../../errors.ts'
import type { Member } from './cluster-view.ts'
import type { DrillKind, Strike } from './strike.ts'

/** Command lines for `sh`; each finds what it is about in its environment, as {@link CommandStrike} says. */
export interface StrikeCommands {
  readonly strike: string
  /** Nothing is taken back where it is left out: what supervises the node starts it again. */
  readonly heal?: string | undefined
  /** Replication is not cut first where it is left out. */
  readonly cut?: string | undefined
}

const TIMEOUT_MS = 60_000
const MOST_OUTPUT = 2_000

/**
 * Strikes by commands of the operator's own, over ssh for instance. They are given `NOMALY_DRILL_KIND` and, of the leader,
 * `NOMALY_DRILL_NODE`, `NOMALY_DRILL_HOST` and `NOMALY_DRILL_PORT`.
 */
export class CommandStrike implements Strike {
  readonly #commands: StrikeCommands

  constructor(commands: StrikeCommands) {
    this.#commands = commands
  }

  async cutReplication(leader: Member, signal: AbortSignal): Promise<boolean> {
    if (this.#commands.cut === undefined) return false
    await run(this.#commands.cut, 'cut', leader, signal)
    return true
  }

  strike(kind: DrillKind, leader: Member, signal: AbortSignal): Promise<void> {
    return run(this.#commands.strike, kind, leader, signal)
  }

  async heal(kind: DrillKind, leader: Member, signal: AbortSignal): Promise<void> {
    if (this.#commands.heal !== undefined) await run(this.#commands.heal, kind, leader, signal)
  }
}

/** @throws NomalyError `conflict` with what the command said, where it fails. */
async function run(
  command: string,
  kind: string,
  { name, host, port }: Member,
  signal: AbortSignal,
): Promise<void> {
  const variables = [
    `NOMALY_DRILL_KIND=${kind}`,
    `NOMALY_DRILL_NODE=${name}`,
    `NOMALY_DRILL_HOST=${host}`,
    `NOMALY_DRILL_PORT=${port}`,
  ]
  const timeout = AbortSignal.timeout(TIMEOUT_MS)
  // Names of nodes are somebody else's text: as variables, the shell does not read them as commands.
  const child = spawn('env', [...variables, 'sh', '-c', command], {
    stdio: ['ignore', 'pipe', 'pipe'],
    signal: AbortSignal.any([signal, timeout]),
    killSignal: 'SIGKILL',
  })
  let said = ''
  const hear = (part: Buffer): void => void (said = (said + part.toString()).slice(-MOST_OUTPUT))
  child.stdout.on('data', hear)
  child.stderr.on('data', hear)
  const outcome = await new Promise<string | undefined>((resolve) => {
    child.on('error', (error) =>
      resolve(timeout.aborted ? `did not end within ${TIMEOUT_MS / 1000} s` : error.message),
    )
    child.on('exit', (code, killedBy) => resolve(code === 0 ? undefined : `ended with ${code ?? killedBy}`))
  })
  signal.throwIfAborted()
  if (outcome === undefined) return
  throw new NomalyError(
    'conflict',
    `The command for "${kind}" ${outcome}${said === '' ? '' : `: ${said.trim()}`}.`,
    {
      hint: `It is run by sh with ${variables.map((variable) => variable.split('=')[0]).join(', ')} in its environment; try it by hand.`,
    },
  )
}
