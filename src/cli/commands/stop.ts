import { setTimeout as sleep } from 'node:timers/promises'
import type { Command } from 'commander'
import { loadConfig } from '../../config/load.ts'
import { readFolderOwner } from '../../database/data-folder.ts'
import { NomalyError } from '../../errors.ts'
import { withExamples } from '../help-examples.ts'
import { print } from '../output.ts'

/** Beyond the time that open requests and tasks are given. */
const GRACE_MS = 15_000

/** Adds `nomaly stop`. */
export function registerStop(program: Command): void {
  const command = program
    .command('stop')
    .description('Stops the server that runs on this data folder: what is under way is finished first.')
  withExamples(command, [['nomaly stop', '']])
  command.action(stop)
}

async function stop(): Promise<void> {
  const { dataDirectory, drainTimeoutMs } = loadConfig()
  const owner = await readFolderOwner(dataDirectory)
  if (owner === undefined || !owner.alive) {
    print('Nomaly is not running on this data folder.')
    return
  }
  if (!owner.signalable)
    throw new NomalyError(
      'conflict',
      `Process ${owner.pid}, which has the data folder open, cannot be reached from here.`,
      {
        hint: 'It may run in another container: stop it there.',
      },
    )
  signal(owner.pid)
  for (const until = Date.now() + drainTimeoutMs + GRACE_MS; Date.now() < until; await sleep(100)) {
    const now = await readFolderOwner(dataDirectory)
    if (now === undefined || !now.alive || now.pid !== owner.pid) {
      print('Nomaly has stopped.')
      return
    }
  }
  throw new NomalyError('timeout', `Process ${owner.pid} has not ended yet.`, {
    hint: 'It may still be finishing a task. Ending it hard loses nothing that was acknowledged.',
  })
}

function signal(pid: number): void {
  try {
    process.kill(pid, 'SIGTERM')
  } catch (error) {
    throw new NomalyError(
      'forbidden',
      `Process ${pid} could not be told to stop (${(error as NodeJS.ErrnoException).code}).`,
      {
        hint: 'Run this as the user who started it.',
        cause: error,
      },
    )
  }
}
