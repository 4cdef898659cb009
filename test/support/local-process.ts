import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { open, readdir, readFile, readlink } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'

/** How a process is started. */
export interface LocalProgram {
  readonly command: string
  readonly args: readonly string[]
  /** Its working folder, by which it and all that it starts are told from others; its output goes to `output.log` in it. */
  readonly folder: string
  readonly account: { readonly uid?: number; readonly gid?: number }
  /** Added to a bare environment. */
  readonly environment?: Readonly<Record<string, string>>
}

/** A process of a test's own that can be killed, frozen and started again. */
export class LocalProcess {
  readonly #program: LocalProgram
  #child: ChildProcess | undefined

  constructor(program: LocalProgram) {
    this.#program = program
  }

  get pid(): number {
    if (this.#child?.pid === undefined) throw new Error(`${this.#program.command} has not been started.`)
    return this.#child.pid
  }

  get isRunning(): boolean {
    const child = this.#child
    return child !== undefined && child.exitCode === null && child.signalCode === null
  }

  /** Resolves when it has ended, by whatever; at once where it does not run. */
  get ended(): Promise<void> {
    const child = this.#child
    return child === undefined || !this.isRunning
      ? Promise.resolve()
      : new Promise((resolve) => child.once('exit', () => resolve()))
  }

  async start(): Promise<void> {
    const { command, args, folder, account, environment } = this.#program
    const log = await open(join(folder, 'output.log'), 'a')
    try {
      const child = spawn(command, args, {
        cwd: folder,
        ...account,
        env: { PATH: '/usr/sbin:/usr/bin:/sbin:/bin', HOME: folder, LANG: 'C.UTF-8', ...environment },
        stdio: ['ignore', log.fd, log.fd],
      })
      this.#child = child
      await new Promise<void>((resolve, reject) => {
        child.once('spawn', resolve)
        child.once('error', reject)
      })
    } finally {
      await log.close()
    }
  }

  /** Ends this process alone with -9. */
  async kill(): Promise<void> {
    await this.#end('SIGKILL')
  }

  /** Asks it to end, and kills it after ten seconds. */
  async stop(): Promise<void> {
    const timer = setTimeout(() => this.#child?.kill('SIGKILL'), 10_000)
    await this.#end('SIGTERM')
    clearTimeout(timer)
  }

  /** Stops it in place: its connections stay open, and nothing is answered. */
  freeze(): void {
    process.kill(this.pid, 'SIGSTOP')
  }

  thaw(): void {
    process.kill(this.pid, 'SIGCONT')
  }

  /** The end of what it has written. */
  async tail(): Promise<string> {
    const text = await readFile(join(this.#program.folder, 'output.log'), 'utf8').catch(() => '')
    return text.split('\n').slice(-15).join('\n')
  }

  async #end(signal: 'SIGKILL' | 'SIGTERM'): Promise<void> {
    const child = this.#child
    if (child === undefined || !this.isRunning) return
    const ended = once(child, 'exit')
    child.kill(signal)
    await ended
  }
}

/** The processes that work in a folder or below it: what was started there, and what that has started. */
export async function processesIn(folder: string): Promise<number[]> {
  const pids: number[] = []
  for (const name of await readdir('/proc')) {
    if (!/^\d+$/.test(name)) continue
    const cwd = await readlink(join('/proc', name, 'cwd')).catch(() => '')
    if (cwd === folder || cwd.startsWith(`${folder}/`)) pids.push(Number(name))
  }
  return pids
}

/** Ends all of them with -9, until none is left. */
export async function killIn(folder: string): Promise<void> {
  for (let round = 0; ; round++) {
    const pids = await processesIn(folder)
    const living = await Promise.all(pids.map(async (pid) => ((await isZombie(pid)) ? [] : [pid])))
    if (living.flat().length === 0) return
    if (round === 500) throw new Error(`Processes in ${folder} do not end: ${living.flat().join(', ')}`)
    for (const pid of living.flat()) {
      try {
        process.kill(pid, 'SIGKILL')
      } catch {
        // It ended between the look and the signal.
      }
    }
    await sleep(10)
  }
}

async function isZombie(pid: number): Promise<boolean> {
  const stat = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => ') Z')
  return stat.slice(stat.lastIndexOf(')') + 2).startsWith('Z')
}

/**
 * A watcher that outlives this process by a moment: its input closes with the process, even with one killed by -9. It then ends
 * all processes in the folder, and removes that.
 */
export function guardFolder(folder: string): ChildProcess {
  const script = `
    cat > /dev/null
    for round in 1 2 3; do
      for process in /proc/[0-9]*; do
        case "$(readlink "$process/cwd")/" in "$1"/*) kill -KILL "\${process#/proc/}";; esac
      done
      sleep 0.2
    done
    rm -rf -- "$1"`
  const guard = spawn('/bin/sh', ['-c', script, 'guard', folder], {
    cwd: '/',
    stdio: ['pipe', 'ignore', 'ignore'],
    detached: true,
  })
  guard.unref()
  ;(guard.stdin as unknown as { unref(): void }).unref()
  return guard
}
