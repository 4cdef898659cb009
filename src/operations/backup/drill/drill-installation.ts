import type { Config } from '../../../config/profiles.ts'
import { Database } from '../../../database/database.ts'
import type { BackupEngine, RestoreTarget } from '../backup-engine.ts'
import type { DrillSite } from './drill-site.ts'
import { type BackupSighting, recordDrill, recordSighting } from './restore-drills.ts'
import { keepRestoreReport, readRemembered } from './restore-report.ts'
import { type DrillProgress, type RestoreDrillReport, runRestoreDrill } from './run-restore-drill.ts'

export interface InstallationDrillOptions {
  readonly config: Pick<Config, 'dataDirectory' | 'drillFolder' | 'snapshotMaxAgeHours'>
  readonly site: DrillSite
  readonly engine: BackupEngine
  /** Of the installation that runs, where the drill is noted; left out where there is none. */
  readonly databaseUrl: string | undefined
  readonly backupId?: string | undefined
  readonly target?: RestoreTarget | undefined
  readonly clock: () => number
  readonly signal: AbortSignal
  readonly progress?: (progress: DrillProgress) => void
  readonly log: (message: string) => void
}

/** A drill whose report is kept, and its two files. */
export interface KeptDrill {
  readonly report: RestoreDrillReport
  readonly files: { readonly json: string; readonly markdown: string }
}

/** Runs a drill, keeps its report in the data folder, and notes it in the database of the installation where that answers. */
export async function drillInstallation(options: InstallationDrillOptions): Promise<KeptDrill> {
  const { config, site, clock, signal, log, databaseUrl } = options
  const report = await runRestoreDrill({
    site,
    backupId: options.backupId,
    target: options.target,
    folder: config.drillFolder,
    remembered: await readRemembered(config.dataDirectory),
    clock,
    signal,
    ...(options.progress === undefined ? {} : { progress: options.progress }),
  })
  const files = await keepRestoreReport(config.dataDirectory, report)
  if (databaseUrl !== undefined)
    await withDatabase(databaseUrl, async (database) => {
      await recordSighting(database, await lookAtBackups(options.engine, clock, signal))
      await recordDrill(
        database,
        {
          id: report.id,
          engine: report.engine,
          backupId: report.backups[0]?.id ?? options.backupId ?? 'none',
          recoveredTo: report.recoveredTo === undefined ? null : new Date(report.recoveredTo),
          startedAt: new Date(report.startedAt),
          finishedAt: new Date(report.finishedAt),
          verdict: report.verdict,
          rtoSeconds: report.rtoSeconds ?? null,
          rpoSeconds: report.rpoSeconds ?? null,
        },
        report,
      )
    }).catch((error: Error) => log(`The drill could not be noted in the database: ${error.message}`))
  return { report, files }
}

/** What there is of backups now; what is wrong is part of the answer. */
export async function lookAtBackups(
  engine: BackupEngine,
  clock: () => number,
  signal: AbortSignal,
): Promise<BackupSighting> {
  const sighting = {
    engine: engine.name,
    seenAt: new Date(clock()),
    lastBackupAt: null,
    bytes: null,
    durationSeconds: null,
    recoverableFrom: null,
    problem: null,
  }
  try {
    const newest = (await engine.list(signal)).at(-1)
    if (newest === undefined) return { ...sighting, problem: 'There is no backup.' }
    const { from } = await engine.recoverable(signal)
    const seen = {
      ...sighting,
      lastBackupAt: new Date(newest.endedAt),
      bytes: newest.storedBytes,
      durationSeconds: (Date.parse(newest.endedAt) - Date.parse(newest.startedAt)) / 1000,
      recoverableFrom: from === undefined ? null : new Date(from),
    }
    if (engine.supports.create) return seen
    // Of what others make the age is all that is seen.
    const [fault] = (await engine.verify(undefined, { signal })).faults
    return { ...seen, durationSeconds: null, problem: fault?.reason ?? null }
  } catch (error) {
    signal.throwIfAborted()
    return { ...sighting, problem: (error as Error).message }
  }
}

async function withDatabase(url: string, work: (database: Database) => Promise<void>): Promise<void> {
  await using database = new Database({
    url,
    applicationName: 'nomaly restore drill',
    maxConnections: 2,
    acquireTimeoutMs: 10_000,
    statementTimeoutMs: 30_000,
    commitTimeoutMs: 15_000,
    log: () => {},
  })
  await work(database)
}
