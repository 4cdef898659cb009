import pg from 'pg'
import { onTestFinished } from 'vitest'
import type { Config } from '../../src/config/profiles.ts'
import { migrate } from '../../src/database/migrator.ts'
import { urlForLogin } from '../../src/operations/connection-urls.ts'
import { migrateInstance } from '../../src/operations/open-instance.ts'
import { startTestNomaly, testConfig, type TestNomaly } from './nomaly.ts'
import { createTestDatabase, type TestDatabase } from './postgres.ts'

export const LOGIN = { name: 'nomaly_test', password: 'test' }

/** The two databases of an installation whose metrics are apart, until the test ends. */
export interface ApartDatabases {
  readonly core: TestDatabase
  readonly metrics: TestDatabase
  /** Of the application's login. */
  readonly databaseUrl: string
  readonly metricsDatabaseUrl: string
}

/** An empty database, until the test ends; of the core it has the tables where asked to, so that the rest is quick. */
export async function emptyDatabase(prepared?: 'core'): Promise<TestDatabase> {
  const database = await createTestDatabase(
    prepared === undefined
      ? {}
      : {
          prepare: {
            key: 'core alone',
            run: async (adminUrl) => {
              await migrate({ adminUrl, sets: ['core'], applicationLogin: LOGIN })
            },
          },
        },
  )
  onTestFinished(() => database.drop())
  return database
}

export function asApplication(adminUrl: string): string {
  return urlForLogin(adminUrl, LOGIN.name, LOGIN.password)
}

/** Migrates two databases, or one, as `nomaly migrate` does. */
export async function migrateBoth(coreUrl: string, metricsUrl?: string): Promise<readonly string[]> {
  const { applied } = await migrateInstance(
    { adminUrl: coreUrl, applicationLogin: LOGIN },
    testConfig().metricsEngine,
    () => {},
    metricsUrl === undefined ? undefined : { adminUrl: metricsUrl, applicationLogin: LOGIN },
  )
  return applied
}

export async function createApartDatabases(): Promise<ApartDatabases> {
  const [core, metrics] = [await emptyDatabase('core'), await emptyDatabase()]
  await migrateBoth(core.adminUrl, metrics.adminUrl)
  return {
    core,
    metrics,
    databaseUrl: asApplication(core.adminUrl),
    metricsDatabaseUrl: asApplication(metrics.adminUrl),
  }
}

/** An installation on two databases, until the test ends. */
export async function startApart(
  databases: ApartDatabases,
  options: { worker?: boolean; config?: Partial<Config> } = {},
): Promise<TestNomaly> {
  const { core, databaseUrl, metricsDatabaseUrl } = databases
  const nomaly = await startTestNomaly({
    ...options,
    on: { database: core, databaseUrl },
    config: { metricsDatabaseUrl, ...options.config },
  })
  onTestFinished(() => nomaly[Symbol.asyncDispose]())
  return nomaly
}

/** Runs a statement as superuser. */
export async function ask<Row extends pg.QueryResultRow>(
  { adminUrl }: Pick<TestDatabase, 'adminUrl'>,
  text: string,
  values?: unknown[],
): Promise<Row[]> {
  const client = new pg.Client({ connectionString: adminUrl })
  await client.connect()
  try {
    return (await client.query<Row>(text, values)).rows
  } finally {
    await client.end()
  }
}
