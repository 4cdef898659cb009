import { existsSync } from 'node:fs'
import { realpath } from 'node:fs/promises'
import { basename, dirname, join, resolve } from 'node:path'
import type { Config } from '../../config/profiles.ts'
import { openDataFolder, readFolderOwner } from '../../database/data-folder.ts'
import { chooseAccount } from '../../database/embedded-account.ts'
import { findBinaries } from '../../database/embedded-binaries.ts'
import { prepareCluster } from '../../database/embedded-cluster.ts'
import { type EmbeddedServer, startEmbeddedServer } from '../../database/embedded-server.ts'
import { rewriteEmbeddedSettings } from '../../database/embedded-tuning.ts'
import { writeLineage } from '../../database/log-archive.ts'
import { NomalyError } from '../../errors.ts'
import { findDatabaseUrls } from '../connection-urls.ts'
import type { RestoredFiles } from './backup-engine.ts'
import { connectAdmin } from './base-session.ts'
import { EmbeddedBackupEngine } from './embedded-backup-engine.ts'
import { findKey, findOrMakeKey } from './find-key.ts'
import type { LocalCluster } from './local-cluster.ts'
import { recoverRestored, type Recovered, type RecoverOptions } from './recover-restored.ts'
import { openTarget } from './target/open-target.ts'

/** The backups of the embedded server, with what only these can do. */
export type EmbeddedBackups = EmbeddedBackupEngine

/** Where root keeps databases of data folders that the account of the server cannot reach. */
const REMOTE_HOME = '/var/lib/nomaly'

export interface OpenBackupsOptions {
  /** Whether a key is made where there is none: for the first backup only. */
  readonly makesKey: boolean
  readonly log: (message: string) => void
}

/**
 * The backups of an installation: the one place that decides which engine makes them.
 * @throws NomalyError `invalid_input` where the settings do not suffice, `not_found` where the key is missing.
 */
export async function openBackups(
  config: Config,
  { makesKey, log }: OpenBackupsOptions,
): Promise<EmbeddedBackups> {
  if (config.databaseUrl !== undefined)
    throw new NomalyError('invalid_input', 'Backups of a server of yours are not made by this command.', {
      hint: 'Leave DATABASE_URL unset for the embedded database.',
    })
  const target = openTarget(config)
  // A new key beside backups that only the former one opens would look as if all were well.
  const isNew = makesKey && (await target.isEmpty(AbortSignal.timeout(60_000)))
  return new EmbeddedBackupEngine({
    target,
    key: await (isNew ? findOrMakeKey(config) : findKey(config)),
    cluster: embeddedCluster(config, log),
    retention: { fulls: config.backupKeepFull, days: config.backupKeepDays },
    bytesPerSecond: config.backupRate,
    segmentSeconds: config.backupLogSeconds,
    metricsAdminUrl:
      config.metricsDatabaseUrl === undefined
        ? undefined
        : (config.metricsAdminDatabaseUrl ?? config.metricsDirectDatabaseUrl ?? config.metricsDatabaseUrl),
    clock: Date.now,
    log,
  })
}

/** The cluster of a data folder. */
function embeddedCluster(config: Config, log: (message: string) => void): LocalCluster {
  const place = join(config.dataDirectory, 'postgres')
  return {
    directory: () => realpath(place).catch(() => undefined),
    adminUrl: async () => (await findDatabaseUrls(config)).adminUrl,
    async keepLog(lineage) {
      await writeLineage(await realpath(place), lineage)
      await rewriteEmbeddedSettings(config.dataDirectory)
      const client = await connectAdmin((await findDatabaseUrls(config)).adminUrl)
      try {
        await client.query('select pg_reload_conf()')
      } finally {
        await client.end()
      }
    },
    async place(path, postgresMajor, fill) {
      await using folder = await openDataFolder(path, { role: 'backup restore' })
      if (existsSync(join(folder.path, 'postgres')))
        throw new NomalyError('conflict', `${folder.path} already has a database.`, {
          hint: 'Restore into a new folder with --into; `nomaly backup swap` puts it in place afterwards.',
        })
      const account = await chooseAccount([folder.path])
      const binaries = await findBinaries(account, folder.path)
      if (binaries.major !== postgresMajor)
        throw new NomalyError(
          'unavailable',
          `The backup is of PostgreSQL ${postgresMajor}; this version of Nomaly has ${binaries.version}.`,
          { hint: 'Restore it with the version of Nomaly that made it.' },
        )
      const password = (): Promise<string> => folder.secret('postgres-password')
      return await prepareCluster({
        folder: folder.path,
        account,
        binaries,
        password,
        log,
        remoteHome: REMOTE_HOME,
        fill,
      })
    },
  }
}

/** The server of a data folder for as long as a backup takes, where none runs. @throws NomalyError `unavailable` where there is no database. */
export async function withServer(
  config: Config,
  log: (message: string) => void,
  signal: AbortSignal,
): Promise<AsyncDisposable> {
  if (!existsSync(join(config.dataDirectory, 'postgres')))
    throw new NomalyError('unavailable', 'There is no database here.', {
      hint: 'Start it with `nomaly start`, or name its data folder with NOMALY_DATA_DIR.',
    })
  if ((await readFolderOwner(config.dataDirectory))?.alive === true)
    return { async [Symbol.asyncDispose]() {} }
  return startEmbeddedServer({
    dataDirectory: config.dataDirectory,
    preferredPort: config.embeddedDatabasePort,
    log,
    signal,
  })
}

/** Starts a server on files that were restored into a data folder, and ends it when it has reached the target. */
export function recoverFolder(
  config: Config,
  folder: string,
  restored: RestoredFiles,
  options: Omit<RecoverOptions, 'start'>,
): Promise<Recovered> {
  const start = (): Promise<EmbeddedServer> =>
    startEmbeddedServer({
      dataDirectory: folder,
      preferredPort: config.embeddedDatabasePort,
      log: options.log,
      signal: options.work.signal,
    })
  return recoverRestored(restored, { ...options, start })
}

/** A new folder in the data folder, for a restore: on the same disk, so that it can be swapped in. */
export async function newRestoreFolder(config: Config, at: Date): Promise<string> {
  const home = resolve(config.dataDirectory)
  // A data folder that is gone is made again, empty.
  if (!existsSync(join(home, 'lock')))
    await (await openDataFolder(home, { role: 'backup restore' }))[Symbol.asyncDispose]()
  return join(home, 'restored', at.toISOString().slice(0, 19).replaceAll(/[:.]/g, '-'))
}

/** Whether a data folder is what {@link newRestoreFolder} made in another one: to look at, and no installation of its own. */
export function isRestoreFolder(dataDirectory: string): boolean {
  const parent = dirname(resolve(dataDirectory))
  return basename(parent) === 'restored' && existsSync(join(dirname(parent), 'lock'))
}
