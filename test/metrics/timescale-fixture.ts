import pg from 'pg'
import { Database } from '../../src/database/database.ts'
import { RETENTION_CLASSES } from '../../src/metrics/retention.ts'
import { compressDue } from '../../src/metrics/timescale-compression.ts'
import type { EngineOptions } from '../../src/metrics/relational-metrics.ts'
import { TimescaleEngine } from '../../src/metrics/timescale-engine.ts'
import { migrateInstance } from '../../src/operations/open-instance.ts'
import type { EngineFixture } from '../conformance/metrics-engine.ts'
import { WORKLOAD_NOW_MS } from '../conformance/metrics-workload.ts'
import { PausingDatabase } from '../conformance/pausing-database.ts'
import { createTestDatabase, findServer } from '../support/postgres.ts'

export interface TimescaleFixture extends EngineFixture {
  readonly engine: TimescaleEngine
  readonly adminUrl: string
  /** Of the login that the product has. */
  readonly applicationUrl: string
  readonly database: Database
}

const MAX_CONNECTIONS = 4
const LOGIN = { name: 'nomaly_metrics_test', password: 'metrics-test' }

/** Whether the run's server has TimescaleDB to offer. */
export async function isTimescaleOffered(): Promise<boolean> {
  const client = new pg.Client({ connectionString: await findServer() })
  await client.connect()
  const { rowCount } = await client.query("select from pg_available_extensions where name = 'timescaledb'")
  await client.end()
  return rowCount === 1
}

/** An engine that compresses whatever there is, after every write and before the next. */
class CompressingEngine extends TimescaleEngine {
  readonly #database: Database

  constructor(options: EngineOptions) {
    super(options)
    this.#database = options.database
  }

  override async append(...given: Parameters<TimescaleEngine['append']>) {
    const report = await super.append(...given)
    await compressAll(this.#database)
    return report
  }

  override async correct(...given: Parameters<TimescaleEngine['correct']>) {
    const report = await super.correct(...given)
    await compressAll(this.#database)
    return report
  }
}

/** Compresses every chunk, of the future too, however small. */
export async function compressAll(database: Database): Promise<number> {
  let compressed = 0
  for (const retention of RETENTION_CLASSES)
    compressed += await compressDue(database, retention, Date.UTC(2200, 0), 1)
  return compressed
}

/**
 * Two engines, each with a pool of its own, on a fresh database, under the login that the product has. With `compressing` they compress
 * whatever they write.
 */
export async function makeTimescaleEngine(
  options: { compressing?: boolean } = {},
): Promise<TimescaleFixture> {
  const Engine = options.compressing === true ? CompressingEngine : TimescaleEngine
  const testDatabase = await createTestDatabase({
    prepare: {
      key: 'migrated for metrics in TimescaleDB',
      run: async (adminUrl) => {
        await migrateInstance({ adminUrl, applicationLogin: LOGIN }, 'timescale', () => {})
      },
    },
  })
  const asAdmin = async (statement: string): Promise<void> => {
    const client = new pg.Client({ connectionString: testDatabase.adminUrl })
    await client.connect()
    await client.query(statement)
    await client.end()
  }
  const url = new URL(testDatabase.adminUrl)
  url.username = LOGIN.name
  url.password = LOGIN.password
  const databaseOptions = (applicationName: string) => ({
    url: url.href,
    applicationName,
    maxConnections: MAX_CONNECTIONS,
    acquireTimeoutMs: 20_000,
    statementTimeoutMs: 30_000,
    commitTimeoutMs: 10_000,
    log: () => {},
  })
  const databases = ['engine', 'neighbour'].map((name) => new Database(databaseOptions(name)))
  let nowMs = WORKLOAD_NOW_MS
  const clock = () => nowMs
  const [engine, neighbour] = databases.map((database) => new Engine({ database, clock }))
  return {
    engine: engine!,
    neighbour: neighbour!,
    adminUrl: testDatabase.adminUrl,
    applicationUrl: url.href,
    database: databases[0]!,
    maxConnections: MAX_CONNECTIONS,
    setNow: (now) => {
      nowMs = now
    },
    pausing: (pause) => {
      const database = new PausingDatabase(databaseOptions('pausing'), pause)
      databases.push(database)
      return new Engine({ database, clock })
    },
    spoilRollUps: () =>
      asAdmin(`do $$ declare store text; begin
        for store in select format('%I.%I', materialization_hypertable_schema, materialization_hypertable_name)
          from timescaledb_information.continuous_aggregates
          where view_name in ('timescale_hourly_forever', 'timescale_daily_forever')
        loop execute format('update %s set count = count + 1', store); end loop; end $$`),
    [Symbol.asyncDispose]: async () => {
      for (const database of databases) await database[Symbol.asyncDispose]()
      await testDatabase.drop()
    },
  }
}
