import { loginOf } from '../../config/database-url.ts'
import { connectClient } from '../../database/connect.ts'
import { NomalyError, notFound } from '../../errors.ts'
import type {
  Backup,
  BackupCapabilities,
  BackupEngine,
  BackupWork,
  CreateOptions,
  Recoverable,
  RestoredFiles,
  RestoreOptions,
  RestoreTarget,
  VerifyReport,
} from './backup-engine.ts'
import type { ScratchProgram } from './drill/scratch-server.ts'
import { archiveCommand } from './pgbackrest/archive-command.ts'
import { ensureArchiving } from './pgbackrest/archive-settings.ts'
import { awaitArchived } from './pgbackrest/await-archived.ts'
import { readFacts } from './pgbackrest/cluster-facts.ts'
import { hearProgress } from './pgbackrest/hear-progress.ts'
import { parseInfo, type StanzaState } from './pgbackrest/parse-info.ts'
import { parseVerify } from './pgbackrest/parse-verify.ts'
import { type PgbackrestOptions, PgbackrestSetup } from './pgbackrest/pgbackrest-setup.ts'
import { makePlace } from './pgbackrest/restore-place.ts'
import { isReached, targetOptions } from './pgbackrest/restore-target.ts'
import { type PgbackrestRun, type PgbackrestRunner, runPgbackrest } from './pgbackrest/run-pgbackrest.ts'

/** Backups of a PostgreSQL server on this machine by pgBackRest, which is configured and driven here. */
export class PgbackrestBackupEngine implements BackupEngine {
  readonly name = 'pgbackrest'
  readonly supports: BackupCapabilities = {
    create: true,
    restore: true,
    pointInTime: true,
    differential: true,
    because: undefined,
  }
  readonly #options: PgbackrestOptions
  readonly #setup: PgbackrestSetup

  constructor(options: PgbackrestOptions) {
    this.#options = options
    this.#setup = new PgbackrestSetup(options)
  }

  get place(): string {
    return `${this.#options.repository} (pgBackRest, ${this.#options.stanza})`
  }

  async create({ kind, ...work }: CreateOptions): Promise<Backup> {
    const { signal, progress } = work
    await using server = await this.#setup.connect()
    const runner = await this.#setup.configure(server.client)
    progress?.({ phase: 'preparing', doneBytes: 0, totalBytes: undefined })
    // Repeated without harm; it also says where the repository belongs to another cluster.
    await runPgbackrest(runner, { signal, args: ['stanza-create'] })
    await this.#setup.keepForArchiving(runner)
    await ensureArchiving(server.client, archiveCommand({ ...runner, configFile: this.#setup.archivingFile }))
    const facts = await readFacts(server.client)
    await runPgbackrest(runner, {
      signal,
      args: [`--type=${kind === 'full' ? 'full' : 'diff'}`, '--log-level-console=detail', 'backup'],
      onLine: hearProgress('copying', facts.bytes, progress),
    })
    const backup = (await this.list(signal)).at(-1)!
    progress?.({ phase: 'finishing', doneBytes: facts.bytes, totalBytes: facts.bytes })
    const restorePoint = `nomaly-${backup.id}`
    await this.mark(restorePoint, signal)
    return { ...backup, restorePoint }
  }

  async list(signal: AbortSignal): Promise<Backup[]> {
    return [...(await this.#state(signal)).backups]
  }

  async recoverable(signal: AbortSignal): Promise<Recoverable> {
    const backups = await this.list(signal)
    const from = backups[0]?.endedAt
    if (from === undefined) return { from: undefined, until: undefined }
    return { from, until: (await this.#lastArchivedAt()) ?? backups.at(-1)!.endedAt }
  }

  async flush(signal: AbortSignal): Promise<void> {
    await using server = await this.#setup.connect()
    await awaitArchived(server.client, signal)
  }

  /** Sets a named restore point in this cluster, then in those that are marked with it, and has the log up to it stored. */
  async mark(name: string, signal: AbortSignal): Promise<void> {
    // What the core refers to must be in the metrics: so these are marked last.
    for (const url of [this.#options.adminUrl, ...this.#options.markWith]) {
      const client = await connectClient(url, { application_name: 'nomaly backup' })
      try {
        await client.query('select pg_create_restore_point($1)', [name])
      } finally {
        await client.end()
      }
    }
    await this.flush(signal)
  }

  async verify(backupId: string | undefined, work: BackupWork): Promise<VerifyReport> {
    const runner = await this.#setup.configureAnyway()
    const text = await runPgbackrest(runner, {
      signal: work.signal,
      args: ['--output=text', '--verbose', '--log-level-console=detail', 'verify'],
    })
    const report = parseVerify(text, (await this.#setup.facts()).segmentBytes)
    if (backupId === undefined) return report
    const backup = await this.#find(backupId, work.signal)
    const isMeant = (of: string | undefined): boolean =>
      of === undefined || of === backupId || of === backup.baseId
    return { ...report, backups: 1, faults: report.faults.filter((fault) => isMeant(fault.backupId)) }
  }

  async restoreInto(folder: string, target: RestoreTarget, options: RestoreOptions): Promise<RestoredFiles> {
    const { signal, progress } = options
    const runner = await this.#setup.configureAnyway()
    const backup = await this.#choose(target, options)
    const directory = await makePlace(folder, runner.account)
    await runPgbackrest(runner, {
      signal,
      args: [
        `--pg1-path=${directory}`,
        `--set=${backup.id}`,
        '--archive-mode=off',
        '--log-level-console=detail',
        ...targetOptions(target),
        'restore',
      ],
      onLine: hearProgress('copying', backup.databaseBytes, progress),
    })
    return {
      backup,
      directory,
      target,
      bytes: backup.databaseBytes,
      // PostgreSQL fetches what it needs.
      logSegments: 0,
      fetchMore: async () => false,
    }
  }

  async prune({ signal }: BackupWork): Promise<string[]> {
    const before = await this.list(signal)
    await runPgbackrest(await this.#setup.configureAnyway(), { signal, args: ['expire'] })
    const left = new Set((await this.list(signal)).map(({ id }) => id))
    return before.filter(({ id }) => !left.has(id)).map(({ id }) => id)
  }

  /** What a server on restored files is started with. */
  async scratchProgram(): Promise<ScratchProgram> {
    const { binFolder, preload } = await this.#setup.facts()
    const { account } = await this.#setup.configureAnyway()
    return { binFolder, account, preload, superusers: ['postgres', loginOf(this.#options.adminUrl)] }
  }

  /** Where the newest segment of log that is stored begins. A restore of everything that ends before it has missed one. */
  async storedUpTo(signal: AbortSignal): Promise<string | undefined> {
    const { newestSegment } = await this.#state(signal)
    if (newestSegment === undefined) return undefined
    const low = Number.parseInt(newestSegment.slice(16), 16) * (await this.#setup.facts()).segmentBytes
    return `${newestSegment.slice(8, 16)}/${low.toString(16).toUpperCase()}`
  }

  async [Symbol.asyncDispose](): Promise<void> {}

  async #choose(target: RestoreTarget, { backupId, signal }: RestoreOptions): Promise<Backup> {
    if (backupId !== undefined) return this.#find(backupId, signal)
    const found = (await this.list(signal)).findLast((backup) => isReached(target, backup))
    if (found !== undefined) return found
    throw new NomalyError('not_found', 'No backup is old enough for what is to be restored.', {
      hint: '`nomaly backup list` says from when on there is something.',
    })
  }

  async #find(id: string, signal: AbortSignal): Promise<Backup> {
    const found = (await this.list(signal)).find((backup) => backup.id === id)
    if (found === undefined) throw notFound('backup', id)
    return found
  }

  async #state(signal: AbortSignal): Promise<StanzaState> {
    const runner = await this.#setup.configureAnyway()
    return parseInfo(
      await this.#quick(runner, { signal, args: ['--output=json', '--log-level-console=off', 'info'] }),
      runner.stanza,
    )
  }

  #quick(runner: PgbackrestRunner, run: PgbackrestRun): Promise<string> {
    return runPgbackrest(runner, { ...run, timeoutMs: 600_000 })
  }

  async #lastArchivedAt(): Promise<string | undefined> {
    try {
      await using server = await this.#setup.connect()
      const { rows } = await server.client.query<{ at: Date | null }>(
        'select last_archived_time as at from pg_stat_archiver',
      )
      return rows[0]!.at?.toISOString()
    } catch {
      return undefined
    }
  }
}
