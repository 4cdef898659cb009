import { randomBytes } from 'node:crypto'
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
import { connectAdmin, finishSegment, readFacts } from './base-session.ts'
import { BACKUPS, type BackupRecord, readRecords, recordName, toBackup } from './backup-record.ts'
import { createBackup } from './create-backup.ts'
import { awaitStored, type LogKeeping, storeLog } from './keep-log.ts'
import type { BackupParts } from './backup-parts.ts'
import { readLineage } from '../../database/log-archive.ts'
import { restoreCluster } from './restore-cluster.ts'
import { expired, expiredLog } from './retention.ts'
import {
  listPoints,
  markMetrics,
  prunePoints,
  requirePointName,
  type RestorePoint,
  storePoint,
} from './restore-point.ts'
import { listStoredLog } from './stored-log.ts'
import { verifyBackups } from './verify-backups.ts'
import { NomalyError } from '../../errors.ts'

/** Beyond this age what has no record is left over: nothing takes so long. */
const UNFINISHED_LIFE_MS = 86_400_000

/** Backups of a cluster whose files are on this machine, without any program but the server itself. */
export class EmbeddedBackupEngine implements BackupEngine {
  readonly name = 'embedded'
  readonly supports: BackupCapabilities = {
    create: true,
    restore: true,
    pointInTime: true,
    differential: true,
    because: undefined,
  }
  readonly #options: BackupParts

  constructor(options: BackupParts) {
    this.#options = options
  }

  get place(): string {
    return this.#options.target.place
  }

  async create(options: CreateOptions): Promise<Backup> {
    const id = this.#newId(options.kind)
    const record = await createBackup(this.#options, id, options)
    await this.prune(options)
    return toBackup(record)
  }

  async list(signal: AbortSignal): Promise<Backup[]> {
    return (await this.#records(signal)).map(toBackup)
  }

  async recoverable(signal: AbortSignal): Promise<Recoverable> {
    const records = await this.#records(signal)
    const newest = records.at(-1)
    const until =
      newest === undefined
        ? undefined
        : (await listStoredLog(this.#options.target, undefined, newest.lineage, signal)).at(-1)?.finishedMs
    return {
      from: records.map(({ endedAt }) => endedAt).toSorted()[0],
      until: until === undefined ? undefined : new Date(until).toISOString(),
    }
  }

  async flush(signal: AbortSignal): Promise<void> {
    const keeping = await this.#keeping()
    const client = await connectAdmin(await this.#options.cluster.adminUrl())
    try {
      const segment = await finishSegment(client, await readFacts(client))
      await awaitStored(client, keeping, segment, signal)
    } finally {
      await client.end()
    }
  }

  /** Stores the log that the server has finished; answers how many segments that were. */
  async storeLog(signal: AbortSignal): Promise<number> {
    return storeLog(await this.#keeping(), signal)
  }

  /** Sets a named restore point in every database of the installation, and has the log up to it stored. */
  async mark(name: string, signal: AbortSignal): Promise<RestorePoint> {
    requirePointName(name)
    const { target, cluster, metricsAdminUrl, clock } = this.#options
    const { lineage } = await this.#keeping()
    const client = await connectAdmin(await cluster.adminUrl())
    let lsn: string
    let metricsLsn: string | null | undefined
    try {
      const [core, metrics] = await Promise.all([
        client.query<{ lsn: string }>('select pg_create_restore_point($1) as lsn', [name]),
        metricsAdminUrl === undefined ? undefined : markMetrics(metricsAdminUrl, name),
      ])
      lsn = core.rows[0]!.lsn
      metricsLsn = metrics
    } finally {
      await client.end()
    }
    const at = new Date(clock()).toISOString()
    const point = { name, lineage, lsn, at, ...(metricsLsn === undefined ? {} : { metricsLsn }) }
    await this.flush(signal)
    await storePoint(target, point, signal)
    return point
  }

  listPoints(signal: AbortSignal): Promise<RestorePoint[]> {
    return listPoints(this.#options.target, signal)
  }

  verify(backupId: string | undefined, work: BackupWork): Promise<VerifyReport> {
    const { target, key } = this.#options
    return verifyBackups(target, key, backupId, work)
  }

  async restoreInto(folder: string, target: RestoreTarget, options: RestoreOptions): Promise<RestoredFiles> {
    return restoreCluster(this.#options, await this.#records(options.signal), folder, target, options)
  }

  async prune({ signal }: BackupWork): Promise<string[]> {
    const { target, retention, clock, cluster } = this.#options
    const records = await this.#records(signal)
    const gone = expired(records, retention, clock())
    // First the records, newest first: what is no longer whole is then no longer listed, and no differential one outlives its full one.
    const files = await target.list(BACKUPS, signal)
    for (const { id } of gone.toReversed()) await target.remove([recordName(id)], signal)
    const kept = records.filter((one) => !gone.includes(one))
    const ids = new Set(kept.map(({ id }) => id))
    const leftOver = files.filter(({ name }) => {
      const id = name.slice(BACKUPS.length).split('/')[0]!
      return !ids.has(id) && (gone.some((one) => one.id === id) || this.#isAbandoned(id, files))
    })
    await target.remove(
      leftOver.map(({ name }) => name),
      signal,
    )
    const directory = await cluster.directory()
    const current = directory === undefined ? undefined : (await readLineage(directory))?.id
    await target.remove(await expiredLog(target, kept, current, signal), signal)
    const oldest = (lineage: string): string | undefined =>
      kept
        .filter((one) => one.lineage === lineage)
        .map(({ endedAt }) => endedAt)
        .toSorted()[0]
    await prunePoints(
      target,
      ({ lineage, at }) => lineage === current || (oldest(lineage) ?? '9') <= at,
      signal,
    )
    return gone.map(({ id }) => id)
  }

  async [Symbol.asyncDispose](): Promise<void> {}

  /** Records that are sound; the others are told by `verify`. */
  async #records(signal: AbortSignal): Promise<BackupRecord[]> {
    const { target, key, log } = this.#options
    const found = await readRecords(target, key, signal)
    for (const { name, fault } of found) if (fault !== undefined) log(`${name} ${fault}; it is left out.`)
    return found.flatMap(({ record }) => record ?? [])
  }

  async #keeping(): Promise<LogKeeping> {
    const { target, key, cluster } = this.#options
    const directory = await cluster.directory()
    const lineage = directory === undefined ? undefined : await readLineage(directory)
    if (directory === undefined || lineage === undefined)
      throw new NomalyError('conflict', 'There is no backup of this database yet, and its log is not kept.', {
        hint: 'Make a backup first: `nomaly backup create`.',
      })
    return { target, key, directory, lineage: lineage.id }
  }

  #newId(kind: string): string {
    const [day, time] = new Date(this.#options.clock()).toISOString().split('T')
    return `${day!.replaceAll('-', '')}T${time!.slice(0, 8).replaceAll(':', '')}-${kind === 'full' ? 'full' : 'diff'}-${randomBytes(2).toString('hex')}`
  }

  /** Whether a backup that has no record never will. */
  #isAbandoned(id: string, files: readonly { readonly name: string }[]): boolean {
    if (files.some(({ name }) => name === recordName(id))) return false
    const [, year, month, day, hour, minute, second] =
      /^(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)-/.exec(id) ?? []
    const begunMs = Date.parse(`${year}-${month}-${day}T${hour}:${minute}:${second}Z`)
    return this.#options.clock() - begunMs > UNFINISHED_LIFE_MS
  }
}
