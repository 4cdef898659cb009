import { execFile } from 'node:child_process'
import { readdir, readFile, readlink } from 'node:fs/promises'
import { setTimeout as sleep } from 'node:timers/promises'
import { promisify } from 'node:util'

const run = promisify(execFile)

/**
 * An opaque mark that tells a process from a later one with the same id: boot, process namespace and start time.
 * `undefined` when no such process runs (a zombie does not run).
 */
export async function processMark(pid: number): Promise<string | undefined> {
  if (process.platform !== 'linux') return psMark(pid)
  try {
    const stat = await readFile(`/proc/${pid}/stat`, 'utf8')
    // The command, in parentheses, may itself hold spaces and parentheses; the fields after it are proc(5)'s from the third on.
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
    if (fields[0] === 'Z' || fields[0] === 'X') return undefined
    const boot = (await readFile('/proc/sys/kernel/random/boot_id', 'utf8')).trim()
    return `${boot} ${await readlink('/proc/self/ns/pid')} ${fields[19]}`
  } catch {
    return undefined
  }
}

/** Whether any process, even a zombie, has the number. */
export function processExists(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    return (error as NodeJS.ErrnoException).code !== 'ESRCH'
  }
}

async function psMark(pid: number): Promise<string | undefined> {
  try {
    const { stdout } = await run('/bin/ps', ['-o', 'state=,lstart=', '-p', String(pid)], {
      env: { LC_ALL: 'C' },
    })
    const [state = 'Z', ...started] = stdout.trim().split(/\s+/)
    return state.startsWith('Z') ? undefined : started.join(' ')
  } catch {
    return undefined
  }
}

/** The ids of all PostgreSQL processes, postmaster and children, whose data directory is `dataDirectory` (a real path). */
export async function findServerProcesses(dataDirectory: string): Promise<number[]> {
  // Every PostgreSQL process stays in its data directory, whatever title it gives itself.
  if (process.platform !== 'linux') return lsofProcesses(dataDirectory)
  const pids = (await readdir('/proc')).filter((name) => /^\d+$/.test(name)).map(Number)
  const found = await Promise.all(pids.map((pid) => isServerProcess(pid, dataDirectory)))
  return pids.filter((_, index) => found[index])
}

async function lsofProcesses(dataDirectory: string): Promise<number[]> {
  const result = await run('/usr/sbin/lsof', ['-a', '-c', 'postgres', '-d', 'cwd', '-Fpn']).catch(
    (error: { stdout?: string }) => ({ stdout: error.stdout ?? '' }),
  )
  const pids: number[] = []
  let pid = 0
  for (const line of result.stdout.split('\n')) {
    if (line.startsWith('p')) pid = Number(line.slice(1))
    if (line === `n${dataDirectory}`) pids.push(pid)
  }
  return pids
}

/** Whether `pid` runs and is a PostgreSQL process on `dataDirectory` (a real path): asked before any signal. */
export async function isServerProcess(pid: number, dataDirectory: string): Promise<boolean> {
  if (process.platform !== 'linux') return (await lsofProcesses(dataDirectory)).includes(pid)
  try {
    if ((await readlink(`/proc/${pid}/cwd`)) !== dataDirectory) return false
    const executable = (await readlink(`/proc/${pid}/exe`)).replace(/ \(deleted\)$/, '')
    return executable.endsWith('/postgres') && (await processMark(pid)) !== undefined
  } catch {
    return false
  }
}

/** Waits until none of `pids` is a server process on `dataDirectory` any more; false when `timeoutMs` passed first. */
export async function waitForEnd(
  pids: readonly number[],
  dataDirectory: string,
  timeoutMs: number,
): Promise<boolean> {
  const deadline = performance.now() + timeoutMs
  let left = pids
  for (let pauseMs = 5; ; pauseMs = Math.min(pauseMs * 2, 200)) {
    const alive = await Promise.all(left.map((pid) => isServerProcess(pid, dataDirectory)))
    left = left.filter((_, index) => alive[index])
    if (left.length === 0) return true
    if (performance.now() >= deadline) return false
    await sleep(pauseMs)
  }
}

/** Sends a signal to those of `pids` that are server processes on `dataDirectory`. */
export async function signalServer(
  pids: readonly number[],
  dataDirectory: string,
  signal: NodeJS.Signals,
): Promise<void> {
  for (const pid of pids) {
    if (!(await isServerProcess(pid, dataDirectory))) continue
    try {
      process.kill(pid, signal)
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error
    }
  }
}
