import type { Config } from '../../config/profiles.ts'
import { Database } from '../../database/database.ts'
import { hasTable } from '../../database/installation.ts'
import { findDatabaseUrls } from '../connection-urls.ts'
import type { Backup, BackupEngine, CreateOptions } from './backup-engine.ts'
import { recordRun } from './backup-schedule.ts'

/** Makes a backup of a database that runs, and notes in it what became of that. */
export async function makeBackup(
  config: Config,
  engine: BackupEngine,
  options: CreateOptions,
): Promise<Backup> {
  await using database = await openOperatorDatabase(config)
  // One of an earlier version, that is backed up before it is brought to this one, has no place for notes.
  const [table] = await database.read({ role: 'nomaly_system', freshness: 'latest' }, (connection) =>
    connection.query<{ exists: boolean }>(hasTable('nomaly', 'backup_runs')),
  )
  if (table?.exists !== true) return await engine.create(options)
  return await recordRun(database, options.kind, Date.now, () => engine.create(options))
}

/** The core database, with two connections, for what an operator's command notes in it. */
export async function openOperatorDatabase(config: Config): Promise<Database> {
  const { applicationUrl } = await findDatabaseUrls(config)
  return new Database({
    url: applicationUrl,
    directUrl: config.directDatabaseUrl,
    applicationName: 'nomaly backup',
    budget: 'maintenance',
    maxConnections: 2,
    acquireTimeoutMs: config.acquireTimeoutMs,
    statementTimeoutMs: config.statementTimeoutMs,
    commitTimeoutMs: config.commitTimeoutMs,
    log: () => {},
  })
}
