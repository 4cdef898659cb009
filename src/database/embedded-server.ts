import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'

import { NomalyError } from '../errors.ts'
import { openDataFolder, type DataFolder } from './data-folder.ts'
import { chooseAccount } from './embedded-account.ts'
import { findBinaries } from './embedded-binaries.ts'
import { prepareCluster, writeSettings } from './embedded-cluster.ts'
import { freePorts, recordPort } from './embedded-port.ts'
import {
  adminUrl,
  adoptPostmaster,
  clearOrphans,
  DirectoryTaken,
  findPostmaster,
  isWrongPassword,
  launchPostmaster,
  PortTaken,
  resetPassword,
  rotateLog,
  stopPostmaster,
  type Postmaster,
  type ServerFiles,
} from './embedded-postmaster.ts'
import { isServerProcess } from './server-processes.ts'
import { renderSettings } from './embedded-settings.ts'
import { embeddedFooting } from './embedded-tuning.ts'

export interface EmbeddedServerOptions {
  /** The data folder. */
  readonly dataDirectory: string
  /** The same folder when this process has it open already; it then stays open. Else it is opened here, and closed at the end. */
  readonly folder?: DataFolder
  /** The next free port from here on is taken, recorded in the data folder and preferred at the next start. */
  readonly preferredPort: number
  readonly log: (message: string) => void
  /** Gives up a start that is under way. */
  readonly signal?: AbortSignal
  /** PostgreSQL settings that win over the generated ones; for tests. */
  readonly settings?: Readonly<Record<string, string>>
  /** Where root keeps databases of data folders that the server's account cannot reach. */
  readonly remoteHome?: string
}

/** A running PostgreSQL server on a data folder. */
export interface EmbeddedServer extends AsyncDisposable {
  /** Address of the superuser. Carries the password: never log it. */
  readonly adminUrl: string
  readonly port: number
  /** Process id of the postmaster; another one after it was killed and started again. */
  readonly pid: number
  /** Whether the server was found running, left by a process that was killed. */
  readonly adopted: boolean
  /** Ends the server: quickly, with everything written. */
  stop(): Promise<void>
}

const WATCH_MS = 500
const ROTATE_EVERY = 120

/**
 * Starts PostgreSQL on a data folder, or takes over the one still running there.
 *
 * The server is no child that dies with this process: killed with -9, this process leaves it running with everything that
 * was committed, and the next start adopts it. While this process lives it watches the server and starts it again, on the
 * same port, should it be killed.
 */
export async function startEmbeddedServer(options: EmbeddedServerOptions): Promise<EmbeddedServer> {
  const folder = options.folder ?? (await openDataFolder(options.dataDirectory, { role: 'database' }))
  const signal = options.signal ?? new AbortController().signal
  try {
    const files = await prepareFiles(folder, options)
    const start = { folder, files, password: await folder.secret('postgres-password'), options, signal }
    const { adopted, ...first } = await takeOverOrStart(start)
    try {
      await recordPort(folder.path, options.preferredPort, first.port)
    } catch (error) {
      await stopPostmaster(files.directory, first.pid)
      throw error
    }
    return watch(start, first, adopted)
  } catch (error) {
    if (options.folder === undefined) await folder[Symbol.asyncDispose]()
    throw error
  }
}

/** What every step of a start needs. */
interface Start {
  readonly folder: DataFolder
  readonly files: ServerFiles
  readonly password: string
  readonly options: EmbeddedServerOptions
  readonly signal: AbortSignal
}

async function prepareFiles(folder: DataFolder, options: EmbeddedServerOptions): Promise<ServerFiles> {
  const account = await chooseAccount([join(folder.path, 'postgres'), folder.path])
  const binaries = await findBinaries(account, folder.path)
  const directory = await prepareCluster({
    folder: folder.path,
    account,
    binaries,
    password: () => folder.secret('postgres-password'),
    log: options.log,
    remoteHome: options.remoteHome ?? '/var/lib/nomaly',
  })
  return { directory, logFile: join(folder.path, 'logs', 'postgres.log'), account, binaries }
}

async function takeOverOrStart(start: Start): Promise<Postmaster & { adopted: boolean }> {
  for (let tries = 1; ; tries++) {
    const found = await takeOver(start)
    if (found !== undefined) return { ...found, adopted: true }
    try {
      return { ...(await startOnFreePort(start)), adopted: false }
    } catch (error) {
      // Killed in the middle of a start, the earlier owner left a server that was still too young to be seen.
      if (!(error instanceof DirectoryTaken)) throw error
      if (tries === 3)
        throw new NomalyError('conflict', `Another server uses ${start.files.directory}.`, { cause: error })
    }
  }
}

/** Adopts the server that runs on the directory; ends one that cannot be adopted. */
async function takeOver({
  folder,
  files,
  password,
  options,
  signal,
}: Start): Promise<Postmaster | undefined> {
  const changed = await writeSettings(
    files.directory,
    files.account,
    renderSettings(await embeddedFooting(folder.path), options.settings),
  )
  const running = await findPostmaster(files.directory)
  if (running !== undefined) {
    const adopted = changed ? undefined : await adoptPostmaster(files, password, signal)
    if (adopted !== undefined) {
      options.log(
        `Took over PostgreSQL (process ${adopted.pid}, port ${adopted.port}), left running by an earlier start.`,
      )
      return adopted
    }
    options.log(`Ending PostgreSQL (process ${running.pid}), left by an earlier start, to start it anew.`)
    await stopPostmaster(files.directory, running.pid)
  }
  await clearOrphans(files.directory)
  return undefined
}

async function startOnFreePort({ folder, files, password, options, signal }: Start): Promise<Postmaster> {
  for await (const port of freePorts(folder.path, options.preferredPort)) {
    try {
      const launch = () => launchPostmaster(files, port, password, { signal, log: options.log })
      const started = await launch().catch(async (error: unknown) => {
        if (!isWrongPassword(error)) throw error
        await resetPassword(files, password)
        options.log('The password of the database was lost; it has a new one, in secrets/postgres-password.')
        return await launch()
      })
      const instead = port === options.preferredPort ? '' : ` (instead of ${options.preferredPort})`
      options.log(`PostgreSQL ${files.binaries.version} listens on 127.0.0.1:${port}${instead}.`)
      return started
    } catch (error) {
      if (!(error instanceof PortTaken)) throw error
    }
  }
  throw new NomalyError('unavailable', 'No port is free for the embedded PostgreSQL server.')
}

function watch(
  { folder, files, password, options }: Start,
  first: Postmaster,
  adopted: boolean,
): EmbeddedServer {
  const { directory } = files
  let current = first
  const stopping = new AbortController()

  async function keepRunning(): Promise<void> {
    for (let round = 1, failures = 0; !stopping.signal.aborted; round++) {
      await sleep(Math.min(WATCH_MS * 2 ** failures, 30_000), undefined, {
        signal: stopping.signal,
        ref: false,
      })
      if (round % ROTATE_EVERY === 0) await rotateLog(files).catch(() => {})
      if (await isServerProcess(current.pid, directory)) continue
      options.log(`PostgreSQL (process ${current.pid}) has ended unexpectedly; starting it again.`)
      try {
        await clearOrphans(directory)
        current = await launchPostmaster(files, current.port, password, {
          signal: stopping.signal,
          log: options.log,
        })
        options.log(`PostgreSQL runs again (process ${current.pid}).`)
        failures = 0
      } catch (error) {
        if (stopping.signal.aborted) return
        failures++
        options.log(error instanceof PortTaken ? `Port ${current.port} is taken.` : (error as Error).message)
      }
    }
  }
  const watching = keepRunning().catch((error: unknown) => {
    if (!stopping.signal.aborted) options.log(`PostgreSQL is no longer watched: ${(error as Error).message}`)
  })

  let stopped: Promise<void> | undefined
  async function stop(): Promise<void> {
    stopping.abort()
    await watching
    await stopPostmaster(directory, current.pid)
    if (options.folder === undefined) await folder[Symbol.asyncDispose]()
  }
  return {
    adminUrl: adminUrl(first.port, password),
    port: first.port,
    get pid() {
      return current.pid
    },
    adopted,
    stop: () => (stopped ??= stop()),
    [Symbol.asyncDispose]: () => (stopped ??= stop()),
  }
}
