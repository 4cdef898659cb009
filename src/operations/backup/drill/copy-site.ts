import { mkdir, rm, statfs } from 'node:fs/promises'
import { join } from 'node:path'
import { parseLsn } from '../../../database/replicas/lsn.ts'
import { NomalyError } from '../../../errors.ts'
import type { Backup, BackupEngine, RestoredFiles } from '../backup-engine.ts'
import type { BroughtUp, DrillAim, DrillSite, DrillStart, DrillWork, RestoredBackup } from './drill-site.ts'
import { type ScratchProgram, ScratchServer } from './scratch-server.ts'

/** One cluster of the installation, and what has its backups. */
export interface CopySource {
  readonly holds: 'core' | 'metrics'
  readonly engine: BackupEngine
  /** Databases of the installation in it. */
  readonly databases: { readonly core?: string; readonly metrics?: string }
  /** What the server on the restored files is started with. */
  program(): Promise<ScratchProgram>
  /** Whether the installation's own server takes connections. */
  answers(): Promise<boolean>
  /** Sets a restore point here and in all the others, and has the log up to it stored; of the first source only. */
  readonly mark?: (name: string, signal: AbortSignal) => Promise<unknown>
  /** Has the log up to now stored. */
  flush(signal: AbortSignal): Promise<void>
  /** The newest position that is stored, where that can be known. */
  readonly storedUpTo?: (signal: AbortSignal) => Promise<bigint | undefined>
}

/** Room beyond the size of the database, for the log that is replayed. */
const ROOM_FACTOR = 1.2

/** Restores copies of an installation's clusters on this machine, and starts a server on each. */
export class CopySite implements DrillSite {
  readonly limits: readonly string[] = []
  readonly sources: readonly CopySource[]

  constructor(sources: readonly CopySource[]) {
    this.sources = sources
  }

  get engine(): BackupEngine['name'] {
    return this.sources[0]!.engine.name
  }

  get place(): string {
    return this.sources.map(({ engine }) => engine.place).join(' and ')
  }

  async begin(name: string, signal: AbortSignal): Promise<DrillStart> {
    const [first, ...others] = this.sources
    const { until } = await first!.engine.recoverable(signal)
    const storedUntil = until === undefined ? undefined : new Date(until)
    // Where the installation is gone it is what is stored that counts. While it runs, log that cannot be stored must be told.
    if (first!.mark === undefined || !(await first!.answers()))
      return { target: { kind: 'latest' }, storedUntil }
    await first!.mark(name, signal)
    for (const other of others) await other.flush(signal)
    return { target: { kind: 'name', name }, storedUntil }
  }

  async bringUp(folder: string, aim: DrillAim, work: DrillWork): Promise<BroughtUp> {
    await using stack = new AsyncDisposableStack()
    const urls: { core?: string; metrics?: string } = {}
    const backups: RestoredBackup[] = []
    let recoveredTo: Date | undefined
    let shortfall: string | undefined
    for (const source of this.sources) {
      const { engine, holds, databases } = source
      await requireRoom(folder, await choose(engine, aim.backupId, work.signal))
      const place = join(folder, holds)
      await mkdir(place, { mode: 0o711 })
      const stored = await source.storedUpTo?.(work.signal)
      const restored = await engine.restoreInto(place, aim.target, {
        ...work,
        ...(aim.backupId === undefined || holds === 'metrics' ? {} : { backupId: aim.backupId }),
      })
      // Outside of the drill's folder where the server's user cannot reach that.
      stack.defer(() => rm(restored.directory, { recursive: true, force: true, maxRetries: 5 }))
      work.progress({ phase: 'recovering', doneBytes: 0, totalBytes: undefined })
      const server = stack.use(await startUntilReached(place, restored, await source.program(), work))
      if (databases.core !== undefined) urls.core = server.url(databases.core)
      if (databases.metrics !== undefined) urls.metrics = server.url(databases.metrics)
      const { backup } = restored
      backups.push({
        database: holds,
        id: backup.id,
        endedAt: new Date(backup.endedAt),
        bytes: backup.databaseBytes,
      })
      const { newestCommit, lsn } = server.recovered
      recoveredTo = later(recoveredTo, newestCommit ?? new Date(backup.endedAt))
      if (aim.target.kind === 'latest' && stored !== undefined && lsn !== undefined && parseLsn(lsn) < stored)
        shortfall = `The log of the ${holds} was replayed up to ${lsn}, and later pieces of it are stored: one before them is missing.`
    }
    const resources = stack.move()
    return {
      addresses: { coreUrl: urls.core!, metricsUrl: urls.metrics },
      backups,
      recoveredTo,
      shortfall,
      [Symbol.asyncDispose]: () => resources.disposeAsync(),
    }
  }
}

async function choose(
  engine: BackupEngine,
  backupId: string | undefined,
  signal: AbortSignal,
): Promise<Backup | undefined> {
  const backups = await engine.list(signal)
  return backups.find(({ id }) => id === backupId) ?? backups.at(-1)
}

/** @throws NomalyError `unavailable` where the database does not fit. */
async function requireRoom(folder: string, backup: Backup | undefined): Promise<void> {
  if (backup === undefined)
    throw new NomalyError('not_found', 'There is no backup yet.', {
      hint: 'Make one first: `nomaly backup create`.',
    })
  const { bavail, bsize } = await statfs(folder)
  const [free, needed] = [bavail * bsize, backup.databaseBytes * ROOM_FACTOR]
  if (free >= needed) return
  const gigabytes = (bytes: number): string => (bytes / 1e9).toFixed(1)
  throw new NomalyError(
    'unavailable',
    `The drill needs ${gigabytes(needed)} GB, and ${gigabytes(free)} GB are free.`,
    { hint: 'Name a folder on a disk with more room with NOMALY_DRILL_DIR.' },
  )
}

async function startUntilReached(
  place: string,
  restored: RestoredFiles,
  program: ScratchProgram,
  work: DrillWork,
): Promise<ScratchServer> {
  for (;;) {
    try {
      return await ScratchServer.start(place, restored.directory, program, work.signal)
    } catch (error) {
      if (!/recovery ended before configured recovery target/.test((error as Error).message)) throw error
      if (!(await restored.fetchMore(work))) throw error
    }
  }
}

function later(one: Date | undefined, other: Date): Date {
  return one === undefined || one < other ? other : one
}
