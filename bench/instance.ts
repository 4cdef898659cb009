import { type ChildProcess, spawn } from 'node:child_process'
import { realpathSync } from 'node:fs'
import { mkdir, readFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { delimiter, join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import pg from 'pg'
import { loadConfig } from '../src/config/load.ts'
import { readFolderOwner } from '../src/database/data-folder.ts'
import { findServerProcesses } from '../src/database/server-processes.ts'
import { findDatabaseUrls } from '../src/operations/connection-urls.ts'
import { guardProcesses } from './process-guard.ts'
import { descendants } from './process-tree.ts'

export interface InstanceOptions {
  /** Made when missing. */
  readonly dataDirectory: string
  readonly signal: AbortSignal
  readonly environment?: Readonly<Record<string, string>>
}

/** An installation as a user runs it: `npm start`, in processes of its own. */
export interface Instance extends AsyncDisposable {
  readonly url: string
  /** From the start of npm until `/readyz` answered 200. */
  readonly readyMs: number
  /** The link that was printed. */
  readonly signInLink: string
  readonly adminKey: string
  /** The administrator's address of the database: of the embedded one, unless the environment names a server. */
  readonly adminDatabaseUrl: string
  readonly postgresVersion: string
  /** All of its processes: npm, shell, server, and PostgreSQL, which is detached from them. Linux only. */
  processes(): Promise<number[]>
  /** Has it end in order, and waits until nothing of it runs. */
  stop(): Promise<void>
}

const ROOT = join(import.meta.dirname, '..')
const START_TIMEOUT_MS = 120_000
const STOP_TIMEOUT_MS = 40_000
const LINK = /https?:\/\/\S+\/sign-in\?token=\S+/

/** Runs `npm start` on a data folder and waits until it is ready. */
export async function startInstance(options: InstanceOptions): Promise<Instance> {
  const { dataDirectory, signal } = options
  await mkdir(dataDirectory, { recursive: true })
  const [port, databasePort] = await freePorts(2)
  const started = performance.now()
  const child = spawn('npm', ['start'], {
    cwd: ROOT,
    // A process group of its own, so that Ctrl+C reaches only the benchmark, which then stops it in order.
    detached: true,
    stdio: ['ignore', 'pipe', 'pipe'],
    env: {
      ...usersEnvironment(),
      NOMALY_DATA_DIR: dataDirectory,
      NOMALY_PORT: String(port),
      NOMALY_EMBEDDED_DATABASE_PORT: String(databasePort),
      ...options.environment,
    },
  })
  const output = gather(child)
  const guard =
    child.pid === undefined ? undefined : guardProcesses(child.pid, postgresDirectory(dataDirectory))
  const stop = async (): Promise<void> => {
    await stopAll(child, dataDirectory)
    guard?.release()
  }
  try {
    const url = `http://127.0.0.1:${port}`
    await until(() => isReady(url), { child, output, signal })
    const readyMs = performance.now() - started
    await until(() => LINK.test(output.text), { child, output, signal })
    const config = loadConfig({ ...options.environment, NOMALY_DATA_DIR: dataDirectory })
    const { adminUrl } = await findDatabaseUrls(config)
    return {
      url,
      readyMs,
      signInLink: LINK.exec(output.text)![0],
      adminKey: (await readFile(join(dataDirectory, 'admin-key'), 'utf8')).trim(),
      adminDatabaseUrl: adminUrl,
      postgresVersion: await askVersion(adminUrl),
      processes: () => processesOf(child, dataDirectory),
      stop,
      [Symbol.asyncDispose]: stop,
    }
  } catch (error) {
    await stop()
    throw error
  }
}

/** The variables of a shell of the user's: without what `npm run` adds. */
export function usersEnvironment(): NodeJS.ProcessEnv {
  const kept = Object.entries(process.env).filter(
    ([name]) => !/^(npm_|NOMALY_|(METRICS_)?(ADMIN_)?DATABASE_URL|NODE$|INIT_CWD$)/.test(name),
  )
  const path = (process.env['PATH'] ?? '')
    .split(delimiter)
    .filter((part) => !/node_modules[\\/](\.bin|npm[\\/])/.test(part))
  return { ...Object.fromEntries(kept), PATH: path.join(delimiter) }
}

interface Output {
  text: string
}

function gather(child: ChildProcess): Output {
  const output: Output = { text: '' }
  for (const stream of [child.stdout, child.stderr])
    stream?.setEncoding('utf8').on('data', (text: string) => {
      output.text = (output.text + text).slice(-20_000)
      // A measurement of a server that warns is to be looked at.
      for (const line of text.split('\n')) if (line.startsWith('{"level":')) console.error(line)
    })
  child.on('error', (error) => {
    output.text += `\n${String(error)}`
  })
  return output
}

async function until(
  look: () => boolean | Promise<boolean>,
  run: { child: ChildProcess; output: Output; signal: AbortSignal },
): Promise<void> {
  const deadline = performance.now() + START_TIMEOUT_MS
  while (!(await look())) {
    run.signal.throwIfAborted()
    if (hasEnded(run.child) || performance.now() > deadline)
      throw new Error(`It did not start:\n${run.output.text}`)
    await sleep(20)
  }
}

async function isReady(url: string): Promise<boolean> {
  try {
    const response = await fetch(`${url}/readyz`, { signal: AbortSignal.timeout(2_000) })
    await response.arrayBuffer()
    return response.status === 200
  } catch {
    return false
  }
}

async function askVersion(adminUrl: string): Promise<string> {
  const client = new pg.Client({ connectionString: adminUrl })
  await client.connect()
  try {
    const { rows } = await client.query<{ server_version: string }>('show server_version')
    return rows[0]!.server_version
  } finally {
    await client.end()
  }
}

async function processesOf(child: ChildProcess, dataDirectory: string): Promise<number[]> {
  const servers = await findServerProcesses(postgresDirectory(dataDirectory))
  if (servers.length === 0)
    throw new Error('No process of PostgreSQL was found: a sum without it would be worth nothing.')
  return [...new Set([...(await descendants(child.pid!)), ...servers])]
}

async function stopAll(child: ChildProcess, dataDirectory: string): Promise<void> {
  if (!hasEnded(child)) {
    // npm passes no signal on to its script: the server itself is told.
    const owner = await readFolderOwner(dataDirectory)
    if (owner?.signalable === true) process.kill(owner.pid, 'SIGTERM')
    else killGroup(child, 'SIGTERM')
    await ended(child, STOP_TIMEOUT_MS)
  }
  if (!hasEnded(child)) {
    killGroup(child, 'SIGKILL')
    await ended(child, STOP_TIMEOUT_MS)
  }
  // It takes PostgreSQL along, unless it was killed.
  const directory = postgresDirectory(dataDirectory)
  for (const pid of await findServerProcesses(directory)) kill(pid, 'SIGQUIT')
  for (let tries = 0; (await findServerProcesses(directory)).length > 0; tries++) {
    if (tries === 100) for (const pid of await findServerProcesses(directory)) kill(pid, 'SIGKILL')
    await sleep(50)
  }
}

function hasEnded(child: ChildProcess): boolean {
  return child.pid === undefined || child.exitCode !== null || child.signalCode !== null
}

async function ended(child: ChildProcess, timeoutMs: number): Promise<void> {
  for (const deadline = performance.now() + timeoutMs; !hasEnded(child) && performance.now() < deadline;)
    await sleep(20)
}

function killGroup(child: ChildProcess, signal: NodeJS.Signals): void {
  if (child.pid !== undefined) kill(-child.pid, signal)
}

function kill(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error
  }
}

function postgresDirectory(dataDirectory: string): string {
  return join(realpathSync(dataDirectory), 'postgres')
}

/** Ports that nobody listens on at this moment. */
export async function freePorts(count: number): Promise<number[]> {
  const servers = Array.from({ length: count }, () => createServer())
  const ports: number[] = []
  for (const server of servers) {
    await new Promise<void>((resolve, reject) => server.once('error', reject).listen(0, '127.0.0.1', resolve))
    ports.push((server.address() as { port: number }).port)
  }
  await Promise.all(servers.map((server) => new Promise((resolve) => server.close(resolve))))
  return ports
}
