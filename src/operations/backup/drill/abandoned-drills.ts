import { readdir, readFile, realpath, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { writePrivateFile } from '../../../database/data-folder.ts'
import {
  findServerProcesses,
  processMark,
  signalServer,
  waitForEnd,
} from '../../../database/server-processes.ts'

const OWNER = 'owner.json'
const END_MS = 10_000

/** Notes that this process works in a drill's folder. */
export async function markOwned(folder: string): Promise<void> {
  const mark = await processMark(process.pid)
  await writePrivateFile(join(folder, OWNER), `${JSON.stringify({ pid: process.pid, mark })}\n`)
}

/** Ends servers of drills whose process was killed, and removes their folders: they take as much room as the database. */
export async function clearAbandoned(parent: string): Promise<void> {
  for (const name of await readdir(parent)) {
    const folder = join(parent, name)
    if (!(await isAbandoned(folder))) continue
    for (const cluster of ['core', 'metrics']) {
      const directory = await realpath(join(folder, cluster, 'postgres')).catch(() => undefined)
      if (directory === undefined) continue
      for (const signal of ['SIGQUIT', 'SIGKILL'] as const) {
        const pids = await findServerProcesses(directory)
        await signalServer(pids, directory, signal)
        if (await waitForEnd(pids, directory, END_MS)) break
      }
    }
    await rm(folder, { recursive: true, force: true, maxRetries: 5 })
  }
}

async function isAbandoned(folder: string): Promise<boolean> {
  try {
    const { pid, mark } = JSON.parse(await readFile(join(folder, OWNER), 'utf8')) as {
      pid: number
      mark?: string
    }
    return (await processMark(pid)) !== mark
  } catch {
    // It has been made a moment ago, or is not a drill's.
    return false
  }
}
