import { createHash, randomBytes } from 'node:crypto'

import { Client } from 'pg'
import { inject } from 'vitest'

import type {} from './global-setup.ts'

export { killServer, startTestServer, type TestServer } from './test-server.ts'

/** A database of a test's own on the run's PostgreSQL. Dropped when disposed of, and at the latest when the run ends. */
export interface TestDatabase extends AsyncDisposable {
  /** Address of the database as superuser. */
  readonly adminUrl: string
  readonly name: string
  drop(): Promise<void>
}

/** How a template is made: once per run for each key, then only cloned. */
export interface Preparation {
  /** Names the state that `run` leaves, such as `migrated`. */
  readonly key: string
  /** Fills an empty database, given its address as superuser. */
  run(adminUrl: string): Promise<void>
}

export interface TestDatabaseOptions {
  /** Name of a database to clone; nobody may be connected to it. */
  readonly template?: string
  /** Clones a template that is prepared when it is first asked for. */
  readonly prepare?: Preparation
}

/** Makes an empty database, or a clone of a template, for one test or one file of tests. */
export async function createTestDatabase(options: TestDatabaseOptions = {}): Promise<TestDatabase> {
  const serverUrl = await findServer()
  return await withClient(serverUrl, async (client) => {
    const template = options.template ?? (await prepareTemplate(client, serverUrl, options.prepare))
    const name = `${prefix()}_${randomBytes(5).toString('hex')}`
    await cloneDatabase(client, name, template)
    const drop = () =>
      withClient(serverUrl, async (again) => {
        await again.query(`drop database if exists ${quote(name)} with (force)`)
      })
    return { adminUrl: databaseUrl(serverUrl, name), name, drop, [Symbol.asyncDispose]: drop }
  })
}

/** Address of the run's PostgreSQL as superuser. */
export async function findServer(): Promise<string> {
  const response = await fetch(inject('postgresBroker'))
  const text = await response.text()
  if (!response.ok) throw new Error(`The PostgreSQL of the tests did not start: ${text}`)
  return text
}

async function prepareTemplate(
  client: Client,
  serverUrl: string,
  prepare: Preparation | undefined,
): Promise<string> {
  if (prepare === undefined) return 'template0'
  const name = `${prefix()}_template_${createHash('sha256').update(prepare.key).digest('hex').slice(0, 12)}`
  // Of all test files that want it at once, one prepares it and the others wait.
  await client.query('select pg_advisory_lock(hashtextextended($1, 0))', [name])
  try {
    const { rows } = await client.query('select from pg_database where datname = $1', [name])
    if (rows.length === 0) {
      const draft = `${name}_draft`
      await client.query(`drop database if exists ${quote(draft)} with (force)`)
      await cloneDatabase(client, draft, 'template0')
      await prepare.run(databaseUrl(serverUrl, draft))
      // Not even the scheduler of an extension, which visits every database, may be there while it is renamed or cloned.
      await client.query(`alter database ${quote(draft)} with allow_connections false`)
      await endSessions(client, draft)
      // Only a template that is whole ever has the name.
      await client.query(`alter database ${quote(draft)} rename to ${quote(name)}`)
    }
  } finally {
    await client.query('select pg_advisory_unlock(hashtextextended($1, 0))', [name])
  }
  return name
}

/** A pool that was just closed may still have sessions that are about to end. */
async function endSessions(client: Client, database: string): Promise<void> {
  await client.query('select pg_terminate_backend(pid, 5000) from pg_stat_activity where datname = $1', [
    database,
  ])
}

async function cloneDatabase(client: Client, name: string, template: string): Promise<void> {
  // Writing the copy to the log needs no checkpoint, and a template is small.
  await client.query(`create database ${quote(name)} template ${quote(template)} strategy wal_log`)
}

async function withClient<T>(url: string, work: (client: Client) => Promise<T>): Promise<T> {
  const client = new Client({ connectionString: url })
  await client.connect()
  try {
    return await work(client)
  } finally {
    await client.end()
  }
}

function databaseUrl(serverUrl: string, name: string): string {
  const url = new URL(serverUrl)
  url.pathname = `/${name}`
  return url.href
}

function prefix(): string {
  return `nomaly_test_${inject('postgresRun')}`
}

function quote(name: string): string {
  return `"${name.replaceAll('"', '""')}"`
}
