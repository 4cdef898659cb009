import { type ChildProcess, execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { access, chmod, chown, mkdir, mkdtemp, readdir, realpath, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { promisify } from 'node:util'
import pg from 'pg'
import { chooseAccount, identityOf, type ServerAccount } from '../../src/database/embedded-account.ts'
import { SERVER_ENVIRONMENT } from '../../src/database/embedded-cluster.ts'
import { freePorts } from '../../src/database/embedded-port.ts'
import { guardServer, killServer } from './test-server.ts'

/** A test that needs such a server says this where it cannot have one. */
export const NO_TIMESCALE =
  'skipped: no PostgreSQL with timescaledb was found on this machine (TEST_POSTGRES_BIN names its programs)'

const DEBIAN = '/usr/lib/postgresql'
const PASSWORD = 'test'

/** The folder of `postgres` and `initdb` of an installation that has TimescaleDB: the one named by `TEST_POSTGRES_BIN`, or Debian's newest. */
export async function findTimescalePrograms(): Promise<string | undefined> {
  const named = process.env['TEST_POSTGRES_BIN']
  const versions = await readdir(DEBIAN).catch(() => [])
  const newestFirst = versions.toSorted((a, b) => Number(b) - Number(a))
  const candidates =
    named === undefined ? newestFirst.map((version) => join(DEBIAN, version, 'bin')) : [named]
  for (const bin of candidates) if (await hasTimescale(bin)) return bin
  return undefined
}

async function hasTimescale(bin: string): Promise<boolean> {
  // Where the programs look for their shared files, whatever they were moved to; the last one is Debian's.
  const version = bin.split('/').at(-2)
  const places = ['../share', '../share/postgresql', `../../../../share/postgresql/${version}`]
  const files = places.map((place) => join(bin, place, 'extension', 'timescaledb.control'))
  const found = await Promise.all([join(bin, 'initdb'), ...files].map((file) => isThere(file)))
  return found[0]! && found.slice(1).includes(true)
}

async function isThere(file: string): Promise<boolean> {
  return access(file).then(
    () => true,
    () => false,
  )
}

/**
 * A PostgreSQL server with TimescaleDB of a test's own, as durable as one in production. It ends with this process; when it is killed,
 * whoever has it starts it again.
 */
export class TimescaleServer implements AsyncDisposable {
  readonly directory: string
  readonly port: number
  readonly #bin: string
  readonly #account: ServerAccount
  readonly #guard: ChildProcess
  #process: ChildProcess | undefined
  #isOver = false

  private constructor(bin: string, parent: string, port: number, account: ServerAccount) {
    this.#bin = bin
    this.directory = join(parent, 'timescale')
    this.port = port
    this.#account = account
    this.#guard = guardServer(this.directory, parent)
  }

  /** Makes its data in a folder of `parent`, which others must be able to pass through; or finds there what was copied from another one. */
  static async prepare(
    bin: string,
    parent: string,
    settings: Readonly<Record<string, string>> = {},
  ): Promise<TimescaleServer> {
    const account = await chooseAccount([])
    const preferred = 40_000 + Math.floor(Math.random() * 15_000)
    const { value: port } = await freePorts(parent, preferred).next()
    const server = new TimescaleServer(bin, await realpath(parent), port as number, account)
    if (!(await isThere(server.directory))) await server.#initialize(parent, settings)
    return server
  }

  /** Address of the superuser. */
  get adminUrl(): string {
    return `postgres://postgres:${PASSWORD}@127.0.0.1:${this.port}/postgres`
  }

  /** Of the postmaster; another one after each start. */
  get pid(): number {
    return this.#process!.pid!
  }

  get isRunning(): boolean {
    const child = this.#process
    return child !== undefined && child.exitCode === null && child.signalCode === null
  }

  /** Starts it and does not wait. */
  launch(): void {
    this.#process = spawn(join(this.#bin, 'postgres'), ['-D', this.directory, '-p', String(this.port)], {
      cwd: '/',
      env: SERVER_ENVIRONMENT,
      stdio: 'ignore',
      ...identityOf(this.#account),
    })
  }

  /** Resolves when it takes connections; `false` where it ended instead. */
  async untilReady(): Promise<boolean> {
    while (this.isRunning) {
      const client = new pg.Client({ connectionString: this.adminUrl })
      client.on('error', () => {})
      const isReady = await client.connect().then(
        () => true,
        () => false,
      )
      await client.end().catch(() => {})
      if (isReady) return true
      await sleep(10)
    }
    return false
  }

  /** Kills postmaster and children with -9, all at once. */
  kill(): Promise<void> {
    return killServer(this.directory)
  }

  /** Ends it in order; its data stays. */
  async stop(): Promise<void> {
    if (!this.isRunning) return
    const ended = once(this.#process!, 'exit')
    process.kill(this.pid, 'SIGINT')
    await ended
  }

  /** Starts it, and again whenever it ends, until it is disposed of. */
  keepRunning(): void {
    this.launch()
    this.#process!.once('exit', () => void this.#startAgain())
  }

  /** Ends it and removes its folder. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#isOver = true
    await this.kill()
    this.#guard.kill('SIGKILL')
    await rm(join(this.directory, '..'), { recursive: true, force: true, maxRetries: 5 })
  }

  async #startAgain(): Promise<void> {
    await this.kill()
    if (!this.#isOver) this.keepRunning()
  }

  async #initialize(parent: string, settings: Readonly<Record<string, string>>): Promise<void> {
    const { uid, gid, switched } = this.#account
    const passwordFile = join(parent, 'timescale-password')
    await mkdir(this.directory, { mode: 0o700 })
    await writeFile(passwordFile, PASSWORD, { mode: 0o644 })
    if (switched) await chown(this.directory, uid, gid)
    await promisify(execFile)(
      join(this.#bin, 'initdb'),
      [
        `--pgdata=${this.directory}`,
        '--username=postgres',
        `--pwfile=${passwordFile}`,
        '--auth=scram-sha-256',
        '--encoding=UTF8',
        '--locale=C',
        '--data-checksums',
      ],
      { cwd: '/', env: SERVER_ENVIRONMENT, ...identityOf(this.#account) },
    )
    // What decides on durability stays as PostgreSQL has it.
    await writeFile(
      join(this.directory, 'postgresql.auto.conf'),
      [
        "shared_preload_libraries = 'timescaledb'",
        "timescaledb.telemetry_level = 'off'",
        "listen_addresses = '127.0.0.1'",
        "unix_socket_directories = ''",
        'max_worker_processes = 32',
        ...Object.entries(settings).map(([name, value]) => `${name} = '${value}'`),
        '',
      ].join('\n'),
    )
  }
}

/** Starts such a server in a temporary folder, and starts it again whenever it is killed. */
export async function startTimescaleServer(
  bin: string,
  settings: Readonly<Record<string, string>> = {},
): Promise<TimescaleServer> {
  const parent = await mkdtemp(join(tmpdir(), 'nomaly-timescale-'))
  // The server's user must pass through when root runs the tests.
  await chmod(parent, 0o711)
  const server = await TimescaleServer.prepare(bin, parent, settings)
  server.keepRunning()
  if (!(await server.untilReady())) throw new Error(`PostgreSQL of ${bin} does not start.`)
  return server
}
