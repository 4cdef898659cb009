import { readdir, readFile, readlink } from 'node:fs/promises'
import { basename } from 'node:path'

/** A process and all that it started, by id (Linux: read from /proc). */
export async function descendants(root: number): Promise<number[]> {
  const pids = (await readdir('/proc')).filter((name) => /^\d+$/.test(name)).map(Number)
  const parents = new Map(await Promise.all(pids.map(async (pid) => [pid, await parentOf(pid)] as const)))
  const found = [root]
  for (const pid of found) for (const [child, parent] of parents) if (parent === pid) found.push(child)
  return found
}

async function parentOf(pid: number): Promise<number | undefined> {
  try {
    const stat = await readFile(`/proc/${pid}/stat`, 'utf8')
    // The command, in parentheses, may itself hold spaces and parentheses.
    return Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[1])
  } catch {
    return undefined
  }
}

/** Memory of processes in bytes, by the name of their program: pages that several share are counted once in all (PSS). */
export async function memoryByProgram(pids: readonly number[]): Promise<Map<string, number>> {
  const bytes = new Map<string, number>()
  for (const pid of pids) {
    try {
      const title = (await readFile(`/proc/${pid}/comm`, 'utf8')).trim()
      // What Node calls its main thread unless a program gives itself a title.
      const name = title === 'MainThread' ? basename(await readlink(`/proc/${pid}/exe`)) : title
      const rollup = await readFile(`/proc/${pid}/smaps_rollup`, 'utf8')
      const kib = Number(/^Pss:\s+(\d+) kB$/m.exec(rollup)?.[1])
      bytes.set(name, (bytes.get(name) ?? 0) + kib * 1024)
    } catch (error) {
      // A backend of PostgreSQL may end between the look and the reading.
      if (!['ENOENT', 'ESRCH'].includes((error as NodeJS.ErrnoException).code ?? '')) throw error
    }
  }
  return bytes
}
