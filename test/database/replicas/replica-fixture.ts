import { afterAll, beforeAll } from 'vitest'
import pg from 'pg'
import { Database, type DatabaseOptions } from '../../../src/database/database.ts'
import type { ReplicaOptions } from '../../../src/database/replicas/open-replicas.ts'
import { urlForLogin } from '../../../src/operations/connection-urls.ts'
import { migrateInstance } from '../../../src/operations/open-instance.ts'
import { eventually } from '../../support/nomaly.ts'
import { startTestServer, type TestServer } from '../../support/postgres.ts'
import { Replica } from '../../support/replica.ts'

export const LOGIN = { name: 'nomaly_test', password: 'test' }
export const SYSTEM = { role: 'nomaly_system' } as const

/** What a commit is acknowledged after, as in production; what is lost with power is nothing to these tests. */
const SETTINGS = { synchronous_commit: 'on', wal_keep_size: '256MB' }

/** A primary and its standbys. */
export interface ReplicaFixture {
  readonly primary: TestServer
  readonly replicas: readonly Replica[]
  /** Of the application's login on the primary. */
  readonly databaseUrl: string
  /** Opens the database with its standbys; the caller closes it. */
  open(replicas?: Partial<ReplicaOptions>, options?: Partial<DatabaseOptions>): Database
  /** A statement as superuser of the primary. */
  ask<Row extends pg.QueryResultRow>(statement: string): Promise<Row[]>
}

/** Registers the hooks that start a primary with a table `counters`, and standbys of it, for a file of tests. */
export function useReplicas(count: number): ReplicaFixture {
  let primary: TestServer
  let replicas: Replica[] = []
  const fixture: ReplicaFixture = {
    get primary() {
      return primary
    },
    get replicas() {
      return replicas
    },
    get databaseUrl() {
      return urlForLogin(primary.adminUrl, LOGIN.name, LOGIN.password)
    },
    open(changes = {}, options = {}) {
      return new Database({
        url: fixture.databaseUrl,
        applicationName: 'nomaly test',
        maxConnections: 20,
        acquireTimeoutMs: 10_000,
        statementTimeoutMs: 20_000,
        commitTimeoutMs: 10_000,
        log: () => {},
        replicas: {
          urls: replicas.map((replica) => replica.url(fixture.databaseUrl)),
          waitMs: 200,
          maxLagMs: 10_000,
          ...changes,
        },
        ...options,
      })
    },
    async ask(statement) {
      const client = new pg.Client({ connectionString: primary.adminUrl })
      await client.connect()
      try {
        return (await client.query(statement)).rows
      } finally {
        await client.end()
      }
    },
  }
  beforeAll(async () => {
    primary = await startTestServer({ settings: SETTINGS })
    await migrateInstance({ adminUrl: primary.adminUrl, applicationLogin: LOGIN }, 'partitioned', () => {})
    await fixture.ask(`
      create table nomaly.counters (id integer primary key, value integer not null);
      insert into nomaly.counters select id, 0 from generate_series(1, 1000) id;
      grant select, insert, update on nomaly.counters to nomaly_system`)
    for (let made = 0; made < count; made++) replicas.push(await Replica.follow(primary))
  }, 120_000)
  afterAll(async () => {
    await Promise.all(replicas.map((replica) => replica[Symbol.asyncDispose]()))
    replicas = []
    await primary.stop()
  })
  return fixture
}

/** Resolves when so many standbys are asked for reads. */
export async function untilInRotation(database: Database, count: number): Promise<void> {
  await eventually(
    async () => database.replicas!.report.filter(({ isInRotation }) => isInRotation).length === count,
  )
}

/** Adds one to a counter; answers what it is then, and where that stands. */
export function increment(database: Database, id: number) {
  return database.transaction(SYSTEM, async (connection) => {
    const [row] = await connection.query<{ value: number }>(
      'update nomaly.counters set value = value + 1 where id = $1 returning value',
      [id],
    )
    return row!.value
  })
}

/** A counter as a read of this freshness sees it, and whether a standby answered. */
export async function look(
  database: Database,
  id: number,
  freshness: Parameters<Database['read']>[0]['freshness'],
): Promise<{ value: number; onStandby: boolean; port: number }> {
  const [row] = await database.read({ ...SYSTEM, freshness }, (connection) =>
    connection.query<{ value: number; onStandby: boolean; port: number }>(
      `select value, pg_is_in_recovery() as "onStandby", current_setting('port')::integer as port
       from nomaly.counters where id = $1`,
      [id],
    ),
  )
  return row!
}
