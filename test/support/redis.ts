import { type ChildProcess, spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { connect, createServer, type AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'

import { createClient, type RedisClientOptions } from 'redis'
import { inject } from 'vitest'

import { findRedisProgram, redisProgramsFolder, type RedisProgram } from './redis-programs.ts'
import { makeCertificates, type Certificates } from './certificates.ts'

export interface TestRedisOptions {
  /** Further arguments of the server, such as `['--maxmemory', '5mb']`. */
  readonly arguments?: readonly string[]
  /** Listens with TLS only, under certificates of its own. */
  readonly tls?: boolean
  /** Asks clients for a certificate too. Only with `tls`. */
  readonly clientCertificates?: boolean
  /** The server program; the run's by default. */
  readonly program?: RedisProgram
  readonly port?: number
  /** Runs it as a Sentinel under this configuration. */
  readonly sentinel?: string
}

/** A Redis server of a test's own, in a temporary folder. It ends with this process, however that ends. */
export class TestRedis implements AsyncDisposable {
  readonly port: number
  readonly folder: string
  readonly certificates: Certificates | undefined
  readonly #program: RedisProgram
  readonly #options: TestRedisOptions
  #process: ChildProcess | undefined
  #guard: ChildProcess | undefined

  private constructor(
    program: RedisProgram,
    folder: string,
    port: number,
    options: TestRedisOptions,
    certificates: Certificates | undefined,
  ) {
    this.#program = program
    this.folder = folder
    this.port = port
    this.#options = options
    this.certificates = certificates
  }

  static async start(options: TestRedisOptions = {}): Promise<TestRedis> {
    const program = options.program ?? (await theProgram())
    const folder = await mkdtemp(join(tmpdir(), 'nomaly-redis-'))
    const certificates = options.tls ? await makeCertificates(folder) : undefined
    const port = options.port ?? (await freePort())
    const server = new TestRedis(program, folder, port, options, certificates)
    if (options.sentinel !== undefined) await writeFile(server.#configuration, options.sentinel)
    try {
      await server.launch()
    } catch (error) {
      await server[Symbol.asyncDispose]()
      throw error
    }
    return server
  }

  /** Where it is reached without a password, over TLS with `ca` where it has certificates. */
  get url(): string {
    if (this.certificates === undefined) return `redis://127.0.0.1:${this.port}/0`
    return `rediss://localhost:${this.port}/0?ca=${encodeURIComponent(this.certificates.ca)}`
  }

  get pid(): number {
    return this.#process!.pid!
  }

  get isRunning(): boolean {
    const child = this.#process
    return child !== undefined && child.exitCode === null && child.signalCode === null
  }

  /** Starts it; resolves when it listens. */
  async launch(): Promise<void> {
    const log = join(this.folder, 'log')
    const child = spawn(this.#program.server, this.#arguments(log), {
      cwd: this.folder,
      env: { ...process.env, ...this.#program.environment },
      stdio: 'ignore',
    })
    this.#process = child
    const failed = new Promise<never>((_resolve, reject) => child.once('error', reject))
    failed.catch(() => {})
    await Promise.race([once(child, 'spawn'), failed])
    // The shell hears the end of this process by the end of its input, and ends the server even when it is frozen.
    this.#guard = spawn(
      '/bin/sh',
      ['-c', 'cat >/dev/null; kill -9 "$0"; rm -rf "$1"', String(child.pid), this.folder],
      {
        stdio: ['pipe', 'ignore', 'ignore'],
        detached: true,
      },
    )
    this.#guard.unref()
    for (let tries = 0; !(await listens(this.port)); tries++) {
      if (!this.isRunning || tries > 1_000)
        throw new Error(
          `${this.#program.server} does not start: ${await readFile(log, 'utf8').catch(() => 'no log')}`,
        )
      await sleep(10)
    }
  }

  /** Ends it with -9; what it had in memory is lost. */
  async kill(): Promise<void> {
    this.#guard?.kill('SIGKILL')
    if (!this.isRunning) return
    const ended = once(this.#process!, 'exit')
    process.kill(this.pid, 'SIGKILL')
    await ended
  }

  /** Kills it and starts it again on the same port, under another run id. */
  async restart(): Promise<void> {
    await this.kill()
    await this.launch()
  }

  /** Stops it in place: connections stay open, and nothing is answered. */
  freeze(): void {
    process.kill(this.pid, 'SIGSTOP')
  }

  thaw(): void {
    process.kill(this.pid, 'SIGCONT')
  }

  /** Forgets every key. */
  async flush(): Promise<void> {
    await this.send(['FLUSHALL'])
  }

  /** Sends one command as the default user, on a connection of its own. */
  async send(command: string[], options: RedisClientOptions = {}): Promise<unknown> {
    const client = createClient({
      ...options,
      socket: {
        host: '127.0.0.1',
        port: this.port,
        reconnectStrategy: false,
        ...(await this.#tls()),
      },
    })
    client.on('error', () => {})
    await client.connect()
    try {
      return await client.sendCommand(command)
    } finally {
      client.destroy()
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.kill()
    await rm(this.folder, { recursive: true, force: true, maxRetries: 5 })
  }

  get #configuration(): string {
    return join(this.folder, 'sentinel.conf')
  }

  async #tls(): Promise<object> {
    const certificates = this.certificates
    if (certificates === undefined) return {}
    return {
      tls: true,
      servername: 'localhost',
      ca: await readFile(certificates.ca),
      cert: await readFile(certificates.cert),
      key: await readFile(certificates.key),
    }
  }

  #arguments(log: string): string[] {
    const isSentinel = this.#options.sentinel !== undefined
    const file = isSentinel ? [this.#configuration, '--sentinel'] : []
    const settings: Record<string, string> = {
      bind: '127.0.0.1',
      dir: this.folder,
      logfile: log,
      daemonize: 'no',
      ...(isSentinel ? {} : { save: '', appendonly: 'no' }),
      ...this.#listening(),
    }
    const given = Object.entries(settings).flatMap(([name, value]) => [`--${name}`, value])
    return [...file, ...given, ...(this.#options.arguments ?? [])]
  }

  #listening(): Record<string, string> {
    const port = String(this.port)
    if (this.certificates === undefined) return { port }
    const { ca, cert, key } = this.certificates
    return {
      port: '0',
      'tls-port': port,
      'tls-ca-cert-file': ca,
      'tls-cert-file': cert,
      'tls-key-file': key,
      'tls-auth-clients': this.#options.clientCertificates ? 'yes' : 'no',
    }
  }
}

/** Starts a Redis server of a test's own. */
export function startTestRedis(options: TestRedisOptions = {}): Promise<TestRedis> {
  return TestRedis.start(options)
}

/** A server for a conformance suite, which asks nothing of it but that it is one: that of `REDIS_URL`, or one of its own. */
export async function startSuiteRedis(): Promise<{ url: string; prefix: string } & AsyncDisposable> {
  // What a suite leaves behind on a server of somebody's own is told apart by this, and expires.
  const prefix = `nomaly-test-${randomBytes(4).toString('hex')}:`
  const url = process.env['REDIS_URL']
  if (url !== undefined) return { url, prefix, [Symbol.asyncDispose]: () => Promise.resolve() }
  const server = await startTestRedis()
  return { url: server.url, prefix, [Symbol.asyncDispose]: () => server[Symbol.asyncDispose]() }
}

/** A Sentinel that watches one master under the name `main`, alone, and fails over after `downAfterMs`. */
export function startTestSentinel(options: {
  master: TestRedis
  downAfterMs?: number
  /** Further lines of its configuration, such as `sentinel auth-pass main secret`. */
  lines?: readonly string[]
}): Promise<TestRedis> {
  const { master, downAfterMs = 500, lines = [] } = options
  const sentinel = [
    'protected-mode no',
    `sentinel monitor main 127.0.0.1 ${master.port} 1`,
    `sentinel down-after-milliseconds main ${downAfterMs}`,
    'sentinel failover-timeout main 2000',
    ...lines,
    '',
  ].join('\n')
  return TestRedis.start({ sentinel })
}

let program: Promise<RedisProgram> | undefined

function theProgram(): Promise<RedisProgram> {
  return (program ??= findRedisProgram(redisProgramsFolder(inject('postgresRun'))))
}

async function listens(port: number): Promise<boolean> {
  const socket = connect({ host: '127.0.0.1', port })
  try {
    return await new Promise<boolean>((resolve) => {
      socket.once('connect', () => resolve(true))
      socket.once('error', () => resolve(false))
    })
  } finally {
    socket.destroy()
  }
}

/** A port that is free now. */
export async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  server.close()
  await once(server, 'close')
  return port
}
