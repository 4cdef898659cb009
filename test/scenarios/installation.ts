import { execFileSync, spawn, type ChildProcess } from 'node:child_process'
import { chmod, mkdtemp, readFile, realpath, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { readFolderOwner } from '../../src/database/data-folder.ts'
import { findServerProcesses, processMark } from '../../src/database/server-processes.ts'
import type { JsonAnswer } from '../support/json-answer.ts'
import { TimescaleServer } from '../support/timescale-server.ts'

const MAIN = join(import.meta.dirname, '..', '..', 'src', 'cli', 'main.ts')

/**
 * `nomaly start` on a data folder of its own, as a process that can be killed with all that belongs to it. Its database is the embedded
 * one, or a server with TimescaleDB that is started before it, as on a machine that has just come up.
 */
export class Installation implements AsyncDisposable {
  readonly folder: string
  readonly #parent: string
  readonly #port = 24_000 + Math.floor(Math.random() * 8_000)
  readonly #timescalePrograms: string | undefined
  readonly #environment: NodeJS.ProcessEnv
  #server: TimescaleServer | undefined
  #process: ChildProcess | undefined
  #launches = 0
  #said = ''
  #url = ''
  #key = ''

  private constructor(
    parent: string,
    timescalePrograms: string | undefined,
    environment: NodeJS.ProcessEnv = {},
  ) {
    this.#parent = parent
    this.#environment = environment
    this.#timescalePrograms = timescalePrograms
    this.folder = join(parent, 'data')
  }

  /** A new one, with TimescaleDB where the folder of its programs is given; `environment` wins over what it is started with otherwise. */
  static async create(timescalePrograms?: string, environment?: NodeJS.ProcessEnv): Promise<Installation> {
    const parent = await mkdtemp(join(tmpdir(), 'nomaly-scenario-'))
    // The database's user passes through when root runs the tests.
    await chmod(parent, 0o711)
    const installation = new Installation(parent, timescalePrograms, environment)
    await installation.#prepareServer()
    return installation
  }

  /** A copy of one that is stopped, which is faster. */
  static async copy(template: Installation): Promise<Installation> {
    const parent = await mkdtemp(join(tmpdir(), 'nomaly-scenario-'))
    await chmod(parent, 0o711)
    const installation = new Installation(parent, template.#timescalePrograms)
    execFileSync('cp', ['-a', `${template.#parent}/.`, parent])
    // Copies run side by side: each looks for a port of its own.
    await rm(join(installation.folder, 'postgres-port.json'), { force: true })
    await installation.#prepareServer()
    return installation
  }

  async #prepareServer(): Promise<void> {
    if (this.#timescalePrograms !== undefined)
      this.#server = await TimescaleServer.prepare(this.#timescalePrograms, this.#parent)
  }

  /** Starts everything and does not wait. */
  launch(): void {
    this.#said = ''
    const launch = ++this.#launches
    const server = this.#server
    if (server === undefined) return this.#launchProcess()
    server.launch()
    void server.untilReady().then((isReady) => {
      if (isReady && launch === this.#launches) this.#launchProcess()
    })
  }

  #launchProcess(): void {
    const child = spawn(process.execPath, [MAIN, 'start'], {
      cwd: this.#parent,
      stdio: ['ignore', 'pipe', 'pipe'],
      env: {
        PATH: process.env['PATH'],
        HOME: process.env['HOME'],
        NOMALY_DATA_DIR: this.folder,
        NOMALY_PORT: '0',
        NOMALY_EMBEDDED_DATABASE_PORT: String(this.#port),
        NOMALY_SELF_WATCH_SECONDS: '0',
        NOMALY_DRAIN_TIMEOUT_MS: '5000',
        ...(this.#server === undefined ? {} : { DATABASE_URL: this.#server.adminUrl }),
        ...this.#environment,
      },
    })
    const hear = (text: Buffer): void => void (this.#said += text.toString())
    child.stdout.on('data', hear)
    child.stderr.on('data', hear)
    this.#process = child
  }

  /** Starts everything and waits until it is ready. */
  async start(): Promise<void> {
    this.launch()
    await this.untilReady()
  }

  async untilReady(timeoutMs = 60_000): Promise<void> {
    for (const until = Date.now() + timeoutMs; ; await sleep(10)) {
      if (Date.now() > until) throw new Error(`The installation did not get ready: ${this.#said}`)
      const child = this.#process
      if (child === undefined) continue
      if (hasEnded(child)) throw new Error(`The installation ended instead of starting: ${this.#said}`)
      const owner = await readFolderOwner(this.folder)
      if (owner?.pid !== child.pid || owner?.url === undefined) continue
      this.#url = owner.url
      this.#key = (await readFile(join(this.folder, 'admin-key'), 'utf8')).trim()
      const ready = await fetch(`${owner.url}/readyz`).catch(() => undefined)
      await ready?.text()
      if (ready?.ok === true) return
    }
  }

  /** The process that serves and works. */
  get pid(): number {
    return this.#process!.pid!
  }

  /** Where it answers; another address after each start. */
  get url(): string {
    return this.#url
  }

  get adminKey(): string {
    return this.#key
  }

  /** Everything it has said since it was launched. */
  get said(): string {
    return this.#said
  }

  /**
   * Kills the process, the postmaster and every child of it with -9, in a random order without a pause, and waits until none is left.
   * @returns how many processes there were.
   */
  async killEverything(uniform: () => number): Promise<number> {
    this.#launches++
    const directory =
      this.#server?.directory ?? (await realpath(join(this.folder, 'postgres')).catch(() => undefined))
    const child = this.#process
    this.#process = undefined
    const servers = directory === undefined ? [] : await findServerProcesses(directory)
    const own = child === undefined || hasEnded(child) ? [] : [child.pid!]
    const killed = [...own, ...servers].sort(() => uniform() - 0.5)
    for (const pid of killed) sendKill(pid)
    for (;;) {
      // A postmaster may have started one more child between the look and the signal.
      const left = directory === undefined ? [] : await findServerProcesses(directory)
      for (const pid of left) sendKill(pid)
      const alive = await Promise.all(killed.map(processMark))
      if (left.length === 0 && alive.every((mark) => mark === undefined)) break
      await sleep(5)
    }
    return killed.length
  }

  /** Ends it in order. @returns the exit code. */
  async stop(): Promise<number | null> {
    const child = this.#process
    if (child === undefined || hasEnded(child)) return null
    const ended = new Promise<number | null>((resolve) => child.once('exit', resolve))
    child.kill('SIGTERM')
    const code = await ended
    await this.#server?.stop()
    return code
  }

  async request(method: string, path: string, body?: unknown): Promise<{ status: number; body: JsonAnswer }> {
    const isPoints = typeof body === 'string'
    const response = await fetch(this.#url + path, {
      method,
      headers: {
        authorization: `Bearer ${this.#key}`,
        ...(body === undefined
          ? {}
          : { 'content-type': isPoints ? 'application/x-ndjson' : 'application/json' }),
      },
      ...(body === undefined ? {} : { body: isPoints ? body : JSON.stringify(body) }),
    })
    const text = await response.text()
    return { status: response.status, body: text === '' ? undefined : JSON.parse(text) }
  }

  /** A request that must succeed. */
  async ask(method: string, path: string, body?: unknown): Promise<JsonAnswer> {
    const answer = await this.request(method, path, body)
    if (answer.status >= 300)
      throw new Error(`${method} ${path}: ${answer.status} ${JSON.stringify(answer.body)}`)
    return answer.body
  }

  /** All items of a list, page by page. */
  async list(path: string): Promise<JsonAnswer[]> {
    const items: JsonAnswer[] = []
    for (let cursor: string | null = ''; cursor !== null;) {
      const page = await this.ask('GET', `${path}${cursor === '' ? '' : `&cursor=${cursor}`}`)
      items.push(...page.items)
      cursor = page.nextCursor
    }
    return items
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.killEverything(Math.random)
    await this.#server?.[Symbol.asyncDispose]()
    await rm(this.#parent, { recursive: true, force: true, maxRetries: 5 })
  }
}

function hasEnded(child: ChildProcess): boolean {
  return child.exitCode !== null || child.signalCode !== null
}

function sendKill(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error
  }
}
