import pg from 'pg'
import { Database } from '../../src/database/database.ts'
import { migrate } from '../../src/database/migrator.ts'
import { PartitionedEngine } from '../../src/metrics/partitioned-engine.ts'
import type { EngineFixture } from '../conformance/metrics-engine.ts'
import { WORKLOAD_NOW_MS } from '../conformance/metrics-workload.ts'
import { PausingDatabase } from '../conformance/pausing-database.ts'
import { createTestDatabase } from '../support/postgres.ts'

export interface PartitionedFixture extends EngineFixture {
  readonly engine: PartitionedEngine
  readonly adminUrl: string
  readonly database: Database
}

const MAX_CONNECTIONS = 4
const LOGIN = { name: 'nomaly_metrics_test', password: 'metrics-test' }

/** Two engines, each with a pool of its own, on a fresh database, under the login that the product has. */
export async function makePartitionedEngine(): Promise<PartitionedFixture> {
  const testDatabase = await createTestDatabase({
    prepare: {
      key: 'core and metrics-partitioned, with a login',
      run: async (adminUrl) => {
        await migrate({ adminUrl, sets: ['core', 'metrics-partitioned'], applicationLogin: LOGIN })
      },
    },
  })
  const spoil = async () => {
    const client = new pg.Client({ connectionString: testDatabase.adminUrl })
    await client.connect()
    await client.query(
      'update metrics.hourly_forever set count = count + 1; update metrics.daily_forever set count = count + 1',
    )
    await client.end()
  }
  const url = new URL(testDatabase.adminUrl)
  url.username = LOGIN.name
  url.password = LOGIN.password
  const options = (applicationName: string) => ({
    url: url.href,
    applicationName,
    maxConnections: MAX_CONNECTIONS,
    acquireTimeoutMs: 20_000,
    statementTimeoutMs: 30_000,
    commitTimeoutMs: 10_000,
    log: () => {},
  })
  const databases = ['engine', 'neighbour'].map((name) => new Database(options(name)))
  let nowMs = WORKLOAD_NOW_MS
  const clock = () => nowMs
  const [engine, neighbour] = databases.map((database) => new PartitionedEngine({ database, clock }))
  return {
    engine: engine!,
    neighbour: neighbour!,
    adminUrl: testDatabase.adminUrl,
    database: databases[0]!,
    maxConnections: MAX_CONNECTIONS,
    setNow: (now) => {
      nowMs = now
    },
    pausing: (pause) => {
      const database = new PausingDatabase(options('pausing'), pause)
      databases.push(database)
      return new PartitionedEngine({ database, clock })
    },
    spoilRollUps: spoil,
    [Symbol.asyncDispose]: async () => {
      for (const database of databases) await database[Symbol.asyncDispose]()
      await testDatabase.drop()
    },
  }
}
