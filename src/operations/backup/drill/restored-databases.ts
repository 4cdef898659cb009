import pg from 'pg'
import { Database } from '../../../database/database.ts'

/** One database of a restored installation, reached as superuser. */
export interface RestoredDatabase {
  readonly name: 'core' | 'metrics'
  /** Of a session of its own, which statements may take long on. */
  readonly client: pg.Client
  readonly database: Database
}

/** Addresses of a superuser. They carry passwords: never log them. */
export interface RestoredAddresses {
  readonly coreUrl: string
  /** `undefined` where the metrics are in the core database. */
  readonly metricsUrl: string | undefined
}

export interface RestoredDatabases extends AsyncDisposable {
  readonly core: RestoredDatabase
  readonly metrics: RestoredDatabase
}

const CONNECT_TIMEOUT_MS = 10_000
/** A table of hundreds of gigabytes is read in one statement. */
const STATEMENT_TIMEOUT_MS = 6 * 3_600_000

/** Connects to restored databases. */
export async function openRestored({ coreUrl, metricsUrl }: RestoredAddresses): Promise<RestoredDatabases> {
  await using stack = new AsyncDisposableStack()
  const core = await open(stack, 'core', coreUrl)
  const metrics = metricsUrl === undefined ? core : await open(stack, 'metrics', metricsUrl)
  const resources = stack.move()
  return { core, metrics, [Symbol.asyncDispose]: () => resources.disposeAsync() }
}

async function open(
  stack: AsyncDisposableStack,
  name: RestoredDatabase['name'],
  url: string,
): Promise<RestoredDatabase> {
  const client = new pg.Client({
    connectionString: url,
    application_name: 'nomaly restore drill',
    connectionTimeoutMillis: CONNECT_TIMEOUT_MS,
    statement_timeout: STATEMENT_TIMEOUT_MS,
  })
  client.on('error', () => {})
  await client.connect()
  stack.defer(() => client.end().catch(() => {}))
  const database = stack.use(
    new Database({
      url,
      applicationName: 'nomaly restore drill',
      maxConnections: 3,
      acquireTimeoutMs: CONNECT_TIMEOUT_MS,
      statementTimeoutMs: STATEMENT_TIMEOUT_MS,
      commitTimeoutMs: CONNECT_TIMEOUT_MS,
      log: () => {},
    }),
  )
  return { name, client, database }
}

/** Both databases, or the one that holds everything. */
export function each(databases: Pick<RestoredDatabases, 'core' | 'metrics'>): RestoredDatabase[] {
  return databases.core === databases.metrics ? [databases.core] : [databases.core, databases.metrics]
}
