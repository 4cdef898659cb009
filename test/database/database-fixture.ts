import pg from 'pg'
import { afterAll, beforeAll, onTestFinished } from 'vitest'
import type { Connection } from '../../src/database/connection.ts'
import { Database, type DatabaseOptions } from '../../src/database/database.ts'
import { createMigratedDatabase } from '../support/nomaly.ts'
import type { TestDatabase } from '../support/postgres.ts'

export const app = { role: 'nomaly_app' } as const
export const latest = { role: 'nomaly_app', freshness: 'latest' } as const

/** A migrated database for the tests of a file, with a table `things` that everybody may use. */
export interface DatabaseFixture {
  /** Of the application's login. */
  readonly url: () => string
  /** A pool of the test's own; tests that run beside each other say themselves what happens when they end. */
  readonly open: (changes?: Partial<DatabaseOptions>, onFinished?: typeof onTestFinished) => Database
  /** Runs statements as superuser, on a connection of its own. */
  readonly admin: <Row extends pg.QueryResultRow>(text: string, values?: unknown[]) => Promise<Row[]>
  /** The names of the things that are like a pattern, in order. */
  readonly names: (like: string) => Promise<string[]>
}

/** Registers the hooks that make and drop the database. */
export function useDatabase(): DatabaseFixture {
  let testDatabase: TestDatabase | undefined
  let databaseUrl = ''
  const admin: DatabaseFixture['admin'] = async <Row extends pg.QueryResultRow>(
    text: string,
    values?: unknown[],
  ): Promise<Row[]> => {
    const client = new pg.Client({ connectionString: testDatabase!.adminUrl })
    await client.connect()
    try {
      return (await client.query<Row>(text, values)).rows
    } finally {
      await client.end()
    }
  }
  beforeAll(async () => {
    ;({ database: testDatabase, databaseUrl } = await createMigratedDatabase())
    await admin(`create table public.things (name text primary key);
      create table public.pairs (id int primary key, twin int references public.pairs deferrable initially deferred);
      grant all on public.things, public.pairs to nomaly_app, nomaly_system`)
  })
  afterAll(() => testDatabase?.drop())
  return {
    url: () => databaseUrl,
    admin,
    open: (changes = {}, onFinished = onTestFinished) => {
      const database = new Database({
        url: databaseUrl,
        applicationName: 'nomaly test',
        maxConnections: 4,
        acquireTimeoutMs: 5_000,
        statementTimeoutMs: 10_000,
        commitTimeoutMs: 5_000,
        log: () => {},
        ...changes,
      })
      onFinished(() => database[Symbol.asyncDispose]())
      return database
    },
    names: async (like) => {
      const rows = await admin<{ name: string }>(
        'select name from public.things where name like $1 order by name',
        [like],
      )
      return rows.map(({ name }) => name)
    },
  }
}

export async function add(connection: Connection, name: string): Promise<void> {
  await connection.query('insert into public.things (name) values ($1)', [name])
}
