import { type ChildProcess, spawn } from 'node:child_process'
import { chmod, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'

import { startEmbeddedServer } from '../../src/database/embedded-server.ts'
import { findServerProcesses } from '../../src/database/server-processes.ts'

/** A PostgreSQL server of a test's own, in a temporary folder. */
export interface TestServer extends AsyncDisposable {
  /** Address of the superuser. */
  readonly adminUrl: string
  readonly port: number
  readonly pid: number
  /** The data folder. */
  readonly folder: string
  /** The data directory of PostgreSQL itself. */
  readonly directory: string
  /** Kills postmaster and children with -9, all at once; resolves when none is left. */
  kill(): Promise<void>
  /** Ends the server and removes its folder. */
  stop(): Promise<void>
}

/** What makes a throw-away server fast. Never where a test is about what survives. */
const CARELESS = { fsync: 'off', synchronous_commit: 'off', full_page_writes: 'off', max_connections: '200' }

/**
 * Starts a PostgreSQL server that ends with this process, however that ends. With `durable` it has the settings of the product.
 */
export async function startTestServer(
  options: {
    durable?: boolean
    preferredPort?: number
    /** Win over the others. */
    settings?: Readonly<Record<string, string>>
  } = {},
): Promise<TestServer> {
  const parent = await mkdtemp(join(tmpdir(), 'nomaly-test-'))
  // The server's user must pass through when root runs the tests.
  await chmod(parent, 0o711)
  const folder = join(parent, 'data')
  try {
    const server = await startEmbeddedServer({
      dataDirectory: folder,
      preferredPort: options.preferredPort ?? 40_000 + Math.floor(Math.random() * 15_000),
      log: () => {},
      settings: { ...(options.durable === true ? {} : CARELESS), ...options.settings },
    })
    const directory = join(folder, 'postgres')
    const guard = guardServer(directory, parent)
    const stop = async () => {
      await server.stop()
      guard.kill('SIGKILL')
      await rm(parent, { recursive: true, force: true })
    }
    return {
      adminUrl: server.adminUrl,
      port: server.port,
      get pid() {
        return server.pid
      },
      folder,
      directory,
      kill: () => killServer(directory),
      stop,
      [Symbol.asyncDispose]: stop,
    }
  } catch (error) {
    await rm(parent, { recursive: true, force: true })
    throw error
  }
}

/** Kills every PostgreSQL process on a data directory with -9. */
export async function killServer(directory: string): Promise<void> {
  for (;;) {
    const pids = await findServerProcesses(directory)
    if (pids.length === 0) return
    for (const pid of pids) {
      try {
        process.kill(pid, 'SIGKILL')
      } catch {
        // It ended between the look and the signal.
      }
    }
    await sleep(10)
  }
}

/** A watcher that outlives this process by a moment: its input closes with the process, even with one killed by -9. */
export function guardServer(directory: string, parent: string): ChildProcess {
  const script = `
    cat > /dev/null
    pid=$(head -n 1 "$1/postmaster.pid") && ps -p "$pid" -o command= | grep -q -F "$1" && kill -QUIT "$pid"
    sleep 1
    rm -rf -- "$2"`
  const guard = spawn('/bin/sh', ['-c', script, 'guard', directory, parent], {
    stdio: ['pipe', 'ignore', 'ignore'],
    detached: true,
  })
  guard.unref()
  ;(guard.stdin as unknown as { unref(): void }).unref()
  return guard
}
