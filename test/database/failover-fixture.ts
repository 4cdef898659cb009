import { randomUUID } from 'node:crypto'
import { onTestFinished } from 'vitest'
import { urlForLogin } from '../../src/config/database-url.ts'
import { connectClient } from '../../src/database/connect.ts'
import { Database, type DatabaseOptions } from '../../src/database/database.ts'
import { findServerProcesses } from '../../src/database/server-processes.ts'
import { migrateInstance } from '../../src/operations/open-instance.ts'
import { eventually } from '../support/nomaly.ts'
import { startTestServer, type TestServer } from '../support/postgres.ts'
import { Replica } from '../support/replica.ts'
import { app } from './database-fixture.ts'

export const LOGIN = { name: 'nomaly_test', password: 'test' }

/** A primary and its standby, migrated, until the test ends. */
export interface Pair {
  readonly primary: TestServer
  readonly standby: Replica
  /** Of the application's login, with both servers; the standby first, so that taking the first would not do. */
  readonly url: string
  /** The same as superuser. */
  readonly adminUrl: string
  /** Of the application's login, with one server. */
  readonly primaryUrl: string
  readonly standbyUrl: string
}

/** Starts a server and a standby that follows it. */
export async function startPair(settings: Readonly<Record<string, string>> = {}): Promise<Pair> {
  const primary = await startTestServer({ settings })
  onTestFinished(() => primary.stop())
  await migrateInstance({ adminUrl: primary.adminUrl, applicationLogin: LOGIN }, 'partitioned', () => {})
  const standby = await Replica.follow(primary)
  onTestFinished(() => standby[Symbol.asyncDispose]())
  const asApplication = (url: string): string => urlForLogin(url, LOGIN.name, LOGIN.password)
  const withBoth = (url: string): string =>
    url.replace(`127.0.0.1:${primary.port}`, `127.0.0.1:${standby.port},127.0.0.1:${primary.port}`)
  return {
    primary,
    standby,
    url: withBoth(asApplication(primary.adminUrl)),
    adminUrl: withBoth(primary.adminUrl),
    primaryUrl: asApplication(primary.adminUrl),
    standbyUrl: asApplication(standby.adminUrl),
  }
}

/** Stops all processes of a server in place, or lets them go on: connections stay open meanwhile, and nothing is answered. */
export async function signalAll(server: TestServer, signal: 'SIGSTOP' | 'SIGCONT'): Promise<void> {
  for (const pid of await findServerProcesses(server.directory)) process.kill(pid, signal)
}

/** A pool on such servers, until the test ends. */
export function openDatabase(url: string, changes: Partial<DatabaseOptions> = {}): Database {
  const database = new Database({
    url,
    applicationName: 'nomaly test',
    maxConnections: 8,
    acquireTimeoutMs: 20_000,
    statementTimeoutMs: 10_000,
    commitTimeoutMs: 3_000,
    idleHoldMs: 20_000,
    log: () => {},
    ...changes,
  })
  onTestFinished(() => database[Symbol.asyncDispose]())
  return database
}

/** Clients that write one after the other without a pause, and remember what was acknowledged. */
export class Writers {
  readonly acknowledged: string[] = []
  readonly failures: unknown[] = []
  longestMs = 0
  #isOver = false
  readonly #running: Promise<void[]>

  constructor(database: Database, count = 6) {
    this.#running = Promise.all(Array.from({ length: count }, () => this.#write(database)))
  }

  async stop(): Promise<void> {
    this.#isOver = true
    await this.#running
  }

  async #write(database: Database): Promise<void> {
    while (!this.#isOver) {
      const id = randomUUID()
      const startedAt = performance.now()
      await database
        .transaction({ ...app, retry: true }, (connection) =>
          connection.query('insert into public.written values ($1)', [id]),
        )
        .then(
          () => this.acknowledged.push(id),
          (error: unknown) => this.failures.push(error),
        )
      this.longestMs = Math.max(this.longestMs, performance.now() - startedAt)
    }
  }
}

/** Makes the table that {@link Writers} write to, and waits until the standby has it. */
export async function withTable(pair: Pair): Promise<Pair> {
  const client = await connectClient(pair.adminUrl)
  await client.query(
    'create table public.written (id text primary key); grant all on public.written to nomaly_app',
  )
  await client.end()
  await eventually(async () =>
    pair.standby.ask('select from public.written').then(
      () => true,
      () => false,
    ),
  )
  return pair
}

/** The ids in that table. */
export async function written(url: string): Promise<Set<string>> {
  const client = await connectClient(url)
  try {
    return new Set(
      (await client.query<{ id: string }>('select id from public.written')).rows.map(({ id }) => id),
    )
  } finally {
    await client.end()
  }
}
