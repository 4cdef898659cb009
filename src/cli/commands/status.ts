import type { Command } from 'commander'
import { loadConfig } from '../../config/load.ts'
import { readFolderOwner } from '../../database/data-folder.ts'
import { EXIT_CODES } from '../exit-codes.ts'
import { withExamples } from '../help-examples.ts'
import { type OutputOptions, paint, print, printJson, withOutput } from '../output.ts'

interface Status {
  readonly running: boolean
  readonly ready: boolean
  /** Ready, but without its metrics database: what needs points fails. */
  readonly degraded: boolean
  readonly pid: number | null
  readonly url: string | null
  readonly startedAt: string | null
  readonly checks: readonly { readonly name: string; readonly ok: boolean; readonly detail: string }[]
}

/** Adds `nomaly status`. */
export function registerStatus(program: Command): void {
  const command = program
    .command('status')
    .description(
      'Says whether Nomaly runs on this data folder, where, and how it is. Exit code 1 where it is not ready.',
    )
  withOutput(command)
  withExamples(command, [
    ['nomaly status', ''],
    ['nomaly status -o json && echo ready', 'in a script'],
  ])
  command.action(async ({ output }: OutputOptions) => {
    const status = await readStatus()
    if (output === 'table') printStatus(status)
    else printJson(status)
    if (!status.ready) process.exitCode = EXIT_CODES.failed
  })
}

async function readStatus(): Promise<Status> {
  const owner = await readFolderOwner(loadConfig().dataDirectory)
  if (owner === undefined || !owner.alive)
    return {
      running: false,
      ready: false,
      degraded: false,
      pid: null,
      url: null,
      startedAt: null,
      checks: [],
    }
  const known = { running: true, pid: owner.pid, url: owner.url ?? null, startedAt: owner.startedAt }
  try {
    const response = await fetch(`${owner.url}/readyz`, { signal: AbortSignal.timeout(5_000) })
    const { status, checks } = (await response.json()) as Pick<Status, 'checks'> & { status: string }
    return { ...known, ready: response.ok, degraded: status === 'degraded', checks }
  } catch (error) {
    const detail =
      owner.url === undefined ? 'is still starting' : `does not answer (${(error as Error).message})`
    return { ...known, ready: false, degraded: false, checks: [{ name: 'server', ok: false, detail }] }
  }
}

function printStatus({ running, ready, degraded, pid, url, startedAt, checks }: Status): void {
  if (!running) {
    print('Nomaly is not running on this data folder. Start it with `nomaly start`.')
    return
  }
  const colour = !ready ? 'red' : degraded ? 'yellow' : 'green'
  const state = !ready ? 'not ready' : degraded ? 'ready in part: what needs points fails' : 'ready'
  print(`${paint(colour, '●')} Nomaly is ${state}`)
  print(`  Process    ${pid}, since ${startedAt}`)
  if (url !== null) print(`  Address    ${url}`)
  for (const { name, ok, detail } of checks)
    print(`  ${name.padEnd(10)} ${ok ? detail : paint('red', detail)}`)
}
