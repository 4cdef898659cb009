import { join } from 'node:path'
import { loginOf } from '../config/database-url.ts'
import type { Config } from '../config/profiles.ts'
import { type DataFolder, openDataFolder } from '../database/data-folder.ts'
import { type EmbeddedServer, startEmbeddedServer } from '../database/embedded-server.ts'
import {
  migrate,
  type MigrateOptions,
  type MigrationReport,
  type MigrationSet,
} from '../database/migrator.ts'
import { openStore } from '../store/open-store.ts'
import type { Store } from '../store/store.ts'
import { chooseMetricsEngine, rememberMetricsEngine } from './metrics-engine-choice.ts'
import { replayLedger } from './erasure/replay-ledger.ts'
import { APPLICATION_LOGIN, urlForLogin } from './connection-urls.ts'
import { checkDatabases, joinDatabases } from './join-databases.ts'
import { adviseOnLocks } from './lock-table.ts'
import { prepareTenant } from './prepare-tenant.ts'

/** The migrations of an installation that has everything in one database of plain PostgreSQL. */
export const MIGRATION_SETS: readonly MigrationSet[] = ['core', 'metrics-partitioned']

/** How one database is migrated; what is in it is decided here. */
export type DatabaseMigration = Omit<MigrateOptions, 'sets'>

/**
 * Chooses what keeps the metrics, migrates the core and, where they are in a database of their own, that, and notes in each whose it is.
 * @throws NomalyError `conflict` where the databases are not of one installation, or another engine is wanted than there is.
 */
export async function migrateInstance(
  core: DatabaseMigration,
  wanted: Config['metricsEngine'],
  log: (message: string) => void,
  metrics?: DatabaseMigration,
): Promise<MigrationReport> {
  const pair = { coreUrl: core.adminUrl, metricsUrl: metrics?.adminUrl }
  await checkDatabases(pair)
  const { adminUrl } = metrics ?? core
  const engine = await chooseMetricsEngine(adminUrl, wanted)
  if (engine.reason !== undefined) log(`Metrics are kept in plain PostgreSQL: ${engine.reason}`)
  // Series and their newest points are in the first of the two sets of metrics, whatever keeps the points.
  const metricsSets: MigrationSet[] = [
    'metrics-partitioned',
    ...(engine.name === 'timescale' ? ['metrics-timescale' as const] : []),
  ]
  const { applied } = await migrate({
    ...core,
    sets: metrics === undefined ? ['core', ...metricsSets] : ['core'],
  })
  const inMetrics = metrics === undefined ? [] : (await migrate({ ...metrics, sets: metricsSets })).applied
  await rememberMetricsEngine(adminUrl, engine)
  await joinDatabases(pair)
  const advice = engine.name === 'timescale' ? await adviseOnLocks(adminUrl) : undefined
  if (advice !== undefined) log(advice)
  return { applied: [...applied, ...inMetrics.map((name) => `${name} in the metrics database`)] }
}

/** An installation that is up: its data folder, its database and the store on it. */
export interface Instance extends AsyncDisposable {
  readonly folder: DataFolder
  readonly store: Store
  readonly databaseUrl: string
  /** `undefined` where DATABASE_URL points at a server. */
  readonly embedded: EmbeddedServer | undefined
  /** Of the first tenant. */
  readonly tenantId: string
  /** The file that holds the admin key. */
  readonly adminKeyFile: string
}

/** Opens the data folder, starts the embedded server where no other is given, migrates, and makes the first tenant and its admin key. */
export async function openInstance(
  config: Config,
  role: string,
  log: (message: string) => void,
  signal?: AbortSignal,
): Promise<Instance> {
  await using stack = new AsyncDisposableStack()
  const folder = stack.use(await openDataFolder(config.dataDirectory, { role }))
  const database = await openDatabase(config, folder, log, signal)
  if (database.embedded !== undefined) stack.use(database.embedded)
  // The folder is locked: nobody else works on its server.
  const isAlone = database.embedded !== undefined
  await replayLedger(config, database.adminUrls, { log, signal })
  const store = stack.use(await openStore(config, database.applicationUrl, log, { isAlone }))
  const adminKeyFile = join(folder.path, 'admin-key')
  const tenantId = await prepareTenant(store, adminKeyFile)
  const resources = stack.move()
  return {
    folder,
    store,
    databaseUrl: database.applicationUrl,
    embedded: database.embedded,
    tenantId,
    adminKeyFile,
    [Symbol.asyncDispose]: () => resources.disposeAsync(),
  }
}

/** How a server of the user's own is migrated: where the administrator's login is another one, the application's gets its two roles. */
export function serverMigration(databaseUrl: string, adminUrl: string | undefined): DatabaseMigration {
  const login = loginOf(databaseUrl)
  if (adminUrl === undefined || login === loginOf(adminUrl)) return { adminUrl: adminUrl ?? databaseUrl }
  return { adminUrl, applicationLogin: { name: login } }
}

/** How the database of METRICS_DATABASE_URL is migrated; `undefined` where there is none. */
export function metricsMigration(config: Config): DatabaseMigration | undefined {
  const { metricsDatabaseUrl, metricsAdminDatabaseUrl, metricsDirectDatabaseUrl } = config
  return metricsDatabaseUrl === undefined
    ? undefined
    : serverMigration(metricsDatabaseUrl, metricsAdminDatabaseUrl ?? metricsDirectDatabaseUrl)
}

interface OpenedDatabase {
  readonly applicationUrl: string
  readonly embedded: EmbeddedServer | undefined
  readonly adminUrls: { readonly coreUrl: string; readonly metricsUrl: string | undefined }
}

async function openDatabase(
  config: Config,
  folder: DataFolder,
  log: (message: string) => void,
  signal: AbortSignal | undefined,
): Promise<OpenedDatabase> {
  const metrics = metricsMigration(config)
  if (config.databaseUrl !== undefined) {
    const core = serverMigration(config.databaseUrl, config.adminDatabaseUrl ?? config.directDatabaseUrl)
    await migrateInstance(core, config.metricsEngine, log, metrics)
    return {
      applicationUrl: config.databaseUrl,
      embedded: undefined,
      adminUrls: { coreUrl: core.adminUrl, metricsUrl: metrics?.adminUrl },
    }
  }
  const embedded = await startEmbeddedServer({
    dataDirectory: folder.path,
    folder,
    preferredPort: config.embeddedDatabasePort,
    log,
    ...(signal === undefined ? {} : { signal }),
  })
  try {
    const password = await folder.secret('application-password')
    await migrateInstance(
      { adminUrl: embedded.adminUrl, applicationLogin: { name: APPLICATION_LOGIN, password } },
      config.metricsEngine,
      log,
      metrics,
    )
    return {
      applicationUrl: urlForLogin(embedded.adminUrl, APPLICATION_LOGIN, password),
      embedded,
      adminUrls: { coreUrl: embedded.adminUrl, metricsUrl: metrics?.adminUrl },
    }
  } catch (error) {
    await embedded.stop()
    throw error
  }
}
