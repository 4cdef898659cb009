import { join, resolve } from 'node:path'
import { databaseOf } from '../../config/database-url.ts'
import type { Config } from '../../config/profiles.ts'
import { chooseAccount } from '../../database/embedded-account.ts'
import { findBinaries } from '../../database/embedded-binaries.ts'
import { connectClient } from '../../database/connect.ts'
import { parseLsn } from '../../database/replicas/lsn.ts'
import { NomalyError } from '../../errors.ts'
import type { BackupEngine } from './backup-engine.ts'
import { findDatabaseUrls } from '../connection-urls.ts'
import { CopySite, type CopySource } from './drill/copy-site.ts'
import type { DrillSite } from './drill/drill-site.ts'
import { ManagedSite } from './drill/managed-site.ts'
import { openBackups } from './open-backups.ts'
import { ManagedBackupEngine } from './managed-backup-engine.ts'
import { findCipherPass } from './pgbackrest/find-cipher-pass.ts'
import { splitOptions } from './pgbackrest/render-config.ts'
import { PgbackrestBackupEngine } from './pgbackrest-backup-engine.ts'

/** Backups of servers that are not ours, and where they can be put to the proof. */
export interface ServerBackups {
  /** One for each cluster, that of the core first. */
  readonly engines: readonly BackupEngine[]
  readonly site: DrillSite
}

/**
 * The backups of the server of DATABASE_URL: pgBackRest's, or those of a provider; the one place that decides which.
 * @throws NomalyError `invalid_input` where nothing is configured.
 */
export async function openServerBackups(
  config: Config,
  log: (message: string) => void,
): Promise<ServerBackups> {
  if (config.databaseUrl !== undefined && config.snapshotCommand !== undefined)
    return openManaged(config, log)
  if (config.databaseUrl !== undefined && config.pgbackrestRepository !== undefined) {
    const sources = await openPgbackrest(config)
    return { engines: sources.map(({ engine }) => engine), site: new CopySite(sources) }
  }
  throw new NomalyError('invalid_input', 'Nothing is known here of backups of a server of yours.', {
    hint: 'On the machine of that server set NOMALY_PGBACKREST_REPO; where a provider makes its backups, NOMALY_SNAPSHOT_COMMAND.',
  })
}

/** What a drill restores from, and where it is noted. */
export interface OpenedSite extends AsyncDisposable {
  readonly site: DrillSite
  readonly engine: BackupEngine
  /** The application's address of the installation's database. Carries the password: never log it. */
  readonly notedIn: string | undefined
}

/** Where the backups of this installation can be put to the proof, whichever they are. @throws NomalyError as they do. */
export async function openDrillSite(config: Config, log: (message: string) => void): Promise<OpenedSite> {
  if (config.databaseUrl !== undefined) {
    const { engines, site } = await openServerBackups(config, log)
    return { site, engine: engines[0]!, notedIn: config.databaseUrl, [Symbol.asyncDispose]: async () => {} }
  }
  if (config.metricsDatabaseUrl !== undefined)
    throw new NomalyError(
      'invalid_input',
      'A drill of two databases of which one is embedded is not offered.',
      {
        hint: 'Set DATABASE_URL as well: pgBackRest then restores both.',
      },
    )
  const engine = await openBackups(config, { makesKey: false, log })
  const account = await chooseAccount([join(config.dataDirectory, 'postgres'), config.dataDirectory])
  const source: CopySource = {
    holds: 'core',
    engine,
    databases: { core: 'postgres' },
    program: async () => ({
      binFolder: (await findBinaries(account, config.dataDirectory)).folder,
      account,
      preload: [],
      superusers: ['postgres'],
    }),
    answers: async () =>
      findDatabaseUrls(config).then(
        ({ adminUrl }) => takesConnections(adminUrl),
        () => false,
      ),
    mark: (name, signal) => engine.mark(name, signal),
    flush: (signal) => engine.flush(signal),
  }
  const notedIn = await findDatabaseUrls(config).then(
    ({ applicationUrl }) => applicationUrl,
    () => undefined,
  )
  return {
    site: new CopySite([source]),
    engine,
    notedIn,
    [Symbol.asyncDispose]: () => engine[Symbol.asyncDispose](),
  }
}

function openManaged(config: Config, log: (message: string) => void): ServerBackups {
  const engine = new ManagedBackupEngine({
    listCommand: config.snapshotCommand!,
    maxAgeMs: config.snapshotMaxAgeHours * 3_600_000,
    clock: Date.now,
  })
  const site = new ManagedSite({
    snapshots: (signal) => engine.snapshots(signal),
    restoreCommand: config.snapshotRestoreCommand,
    removeCommand: config.snapshotRemoveCommand,
    log,
  })
  return { engines: [engine], site }
}

async function openPgbackrest(config: Config): Promise<CopySource[]> {
  const coreUrl = config.adminDatabaseUrl ?? config.directDatabaseUrl ?? config.databaseUrl!
  const metricsUrl =
    config.metricsDatabaseUrl === undefined
      ? undefined
      : (config.metricsAdminDatabaseUrl ?? config.metricsDirectDatabaseUrl ?? config.metricsDatabaseUrl)
  const isApart = metricsUrl !== undefined && !(await areTogether(coreUrl, metricsUrl))
  const cipherPass = await findCipherPass(config.dataDirectory, config.pgbackrestCipherPass)
  const engineOf = (adminUrl: string, stanza: string, markWith: readonly string[]): PgbackrestBackupEngine =>
    new PgbackrestBackupEngine({
      program: config.pgbackrestProgram,
      stanza,
      repository: config.pgbackrestRepository!,
      cipherPass,
      keepFull: config.pgbackrestKeepFull,
      extra: splitOptions(config.pgbackrestOptions),
      folder: resolve(join(config.dataDirectory, 'pgbackrest')),
      adminUrl,
      markWith,
    })
  const sourceOf = (
    holds: CopySource['holds'],
    engine: PgbackrestBackupEngine,
    databases: CopySource['databases'],
  ): CopySource => ({
    holds,
    engine,
    databases,
    program: () => engine.scratchProgram(),
    answers: () => takesConnections(holds === 'core' ? coreUrl : metricsUrl!),
    ...(holds === 'core' ? { mark: (name, signal) => engine.mark(name, signal) } : {}),
    flush: (signal) => engine.flush(signal),
    storedUpTo: async (signal) => {
      const lsn = await engine.storedUpTo(signal)
      return lsn === undefined ? undefined : parseLsn(lsn)
    },
  })
  const core = engineOf(coreUrl, config.pgbackrestStanza, isApart ? [metricsUrl] : [])
  const databases = {
    core: databaseOf(coreUrl),
    ...(metricsUrl === undefined || isApart ? {} : { metrics: databaseOf(metricsUrl) }),
  }
  const sources = [sourceOf('core', core, databases)]
  if (isApart)
    sources.push(
      sourceOf('metrics', engineOf(metricsUrl, `${config.pgbackrestStanza}-metrics`, []), {
        metrics: databaseOf(metricsUrl),
      }),
    )
  return sources
}

/** Whether two databases are of one cluster. Where one of them does not answer their servers decide. */
async function areTogether(one: string, other: string): Promise<boolean> {
  try {
    const [a, b] = await Promise.all([one, other].map(systemIdOf))
    return a === b
  } catch {
    const server = (url: string): string | undefined => /^[a-z]+:\/\/(?:[^@/]*@)?([^/?]*)/.exec(url)?.[1]
    return server(one) === server(other)
  }
}

async function takesConnections(url: string): Promise<boolean> {
  return connectClient(url, { application_name: 'nomaly backup' }).then(
    async (client) => {
      await client.end()
      return true
    },
    () => false,
  )
}

async function systemIdOf(url: string): Promise<string> {
  const client = await connectClient(url, { application_name: 'nomaly backup' })
  try {
    const { rows } = await client.query<{ id: string }>(
      'select system_identifier::text as id from pg_control_system()',
    )
    return rows[0]!.id
  } finally {
    await client.end()
  }
}
