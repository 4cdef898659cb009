import { randomBytes } from 'node:crypto'
import { join } from 'node:path'
import pg from 'pg'
import { startEmbeddedServer } from '../../src/database/embedded-server.ts'
import { migrate, type MigrationSet } from '../../src/database/migrator.ts'
import { rememberMetricsEngine } from '../../src/operations/metrics-engine-choice.ts'
import { freePorts } from '../instance.ts'

/** A database of a run's own. */
export interface BenchDatabase {
  /** Address as superuser. */
  readonly adminUrl: string
  /** Address as the login of the application. */
  readonly applicationUrl: string
}

export interface BenchServerOptions {
  /** A server of the user's, as superuser; without one the embedded server is started. */
  readonly url: string | undefined
  /** For the embedded server's data. */
  readonly directory: string
  readonly signal: AbortSignal
  readonly log: (message: string) => void
}

/** The PostgreSQL server that all sides but SQLite run on, and what a run makes on it: everything is removed at the end. */
export class BenchServer implements AsyncDisposable {
  readonly versions: Readonly<Record<string, string>>
  /** Whether it offers TimescaleDB. */
  readonly hasTimescale: boolean
  readonly #url: string
  readonly #run = `nomaly_bench_${randomBytes(4).toString('hex')}`
  readonly #password = randomBytes(18).toString('base64url')
  readonly #databases: string[] = []
  readonly #resources: AsyncDisposableStack

  private constructor(url: string, settings: Record<string, string>, resources: AsyncDisposableStack) {
    const { timescaledb, ...versions } = settings
    this.#url = url
    this.#resources = resources
    this.hasTimescale = timescaledb !== undefined
    this.versions = { ...versions, ...(timescaledb === undefined ? {} : { timescaledb }) }
  }

  static async open({ url, directory, signal, log }: BenchServerOptions): Promise<BenchServer> {
    await using stack = new AsyncDisposableStack()
    let address = url
    if (address === undefined) {
      const [preferredPort] = await freePorts(1)
      const embedded = await startEmbeddedServer({
        dataDirectory: join(directory, 'server'),
        preferredPort: preferredPort!,
        log,
        signal,
      })
      address = stack.use(embedded).adminUrl
    }
    const [settings] = await ask<Record<string, string | null>>(
      address,
      `select current_setting('server_version') as postgresql, current_setting('shared_buffers') as "shared buffers",
         current_setting('fsync') as fsync,
         (select default_version from pg_available_extensions where name = 'timescaledb') as timescaledb`,
    )
    const known = Object.entries(settings!).filter((entry): entry is [string, string] => entry[1] !== null)
    return new BenchServer(address, Object.fromEntries(known), stack.move())
  }

  /** Makes a database; with `sets` it is migrated, for the application's login too. */
  async createDatabase(
    name: string,
    options: { readonly extension?: 'timescaledb'; readonly sets?: readonly MigrationSet[] } = {},
  ): Promise<BenchDatabase> {
    const full = `${this.#run}_${name}`
    this.#databases.push(full)
    await ask(this.#url, `create database ${full} template template0`)
    const admin = new URL(this.#url)
    admin.pathname = `/${full}`
    const application = new URL(admin)
    application.username = this.#run
    application.password = this.#password
    if (options.extension !== undefined) await ask(admin.href, `create extension ${options.extension}`)
    if (options.sets !== undefined) {
      await migrate({
        adminUrl: admin.href,
        sets: options.sets,
        applicationLogin: { name: this.#run, password: this.#password },
      })
      // An engine writes only where it is the one that keeps the points.
      if (options.sets.includes('metrics-timescale'))
        await rememberMetricsEngine(admin.href, { name: 'timescale' })
    }
    return { adminUrl: admin.href, applicationUrl: application.href }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const name of this.#databases) await ask(this.#url, `drop database if exists ${name} with (force)`)
    await ask(this.#url, `drop role if exists ${this.#run}`)
    await this.#resources.disposeAsync()
  }
}

/** The rows of one statement, on a connection of its own. */
export async function ask<Row extends object>(url: string, text: string): Promise<Row[]> {
  const client = new pg.Client({ connectionString: url })
  await client.connect()
  try {
    return (await client.query<Row>(text)).rows
  } finally {
    await client.end()
  }
}
