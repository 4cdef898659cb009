import { parseLsn } from '../../database/replicas/lsn.ts'
import { randomUUID, hash } from 'node:crypto'
import { readLineage } from '../../database/log-archive.ts'
import { NomalyError } from '../../errors.ts'
import type { CreateOptions } from './backup-engine.ts'
import { BACKUPS, type BackupRecord, readRecords, type RecordedFile, storeRecord } from './backup-record.ts'
import { BaseSession, connectAdmin, finishSegment } from './base-session.ts'
import { copyCluster } from './copy-cluster.ts'
import { listClusterFiles } from './cluster-files.ts'
import type { BackupParts } from './backup-parts.ts'
import { awaitKept, awaitStored, type LogKeeping } from './keep-log.ts'
import { type ChunkPlace, HASH_BYTES, openManifest, sealManifest } from './manifest.ts'
import { PackWriter } from './pack-writer.ts'
import { packPurpose } from './restore-files.ts'
import { markMetrics, storePoint } from './restore-point.ts'
import { listStoredLog } from './stored-log.ts'
import type { BackupTarget } from './target/backup-target.ts'
import { requireOwnTarget } from './target/target-note.ts'
import { Throttle } from './throttle.ts'
import { nextSegment, segmentAt } from './wal-segment.ts'

/** What pages become at least, where no earlier backup tells. */
const COMPRESSED_SHARE = 0.5

/** Of the database that has changed since the full backup, where no earlier differential one tells. */
const CHANGED_SHARE = 0.1

/** For log, manifest and record. */
const ROOM_BYTES = 64 * 1024 * 1024

/** Makes a backup: copies the files, has the log that they need stored, and writes the record at last. */
export async function createBackup(
  options: BackupParts,
  id: string,
  work: CreateOptions,
): Promise<BackupRecord> {
  const { target, key, cluster, clock } = options
  const { signal, progress } = work
  const startedAt = new Date(clock()).toISOString()
  progress?.({ phase: 'preparing', doneBytes: 0, totalBytes: undefined })
  const directory = await cluster.directory()
  if (directory === undefined)
    throw new NomalyError('unavailable', 'There is no database here.', {
      hint: 'Start it with `nomaly start`.',
    })
  const adminUrl = await cluster.adminUrl()
  await using session = await BaseSession.open(adminUrl)
  const { facts } = session
  await requireOwnTarget(target, facts.systemId, signal)
  const base = work.kind === 'differential' ? await findBase(options, facts.systemId, signal) : undefined
  await requireRoom(options, directory, base, signal)
  const keeping = await keepLog(options, directory, adminUrl, session, signal)
  const known = base === undefined ? new Map<string, ChunkPlace>() : await knownChunks(options, base, signal)
  const prefix = `${BACKUPS}${id}/`
  const packs = new PackWriter({
    target,
    key: key.derive(packPurpose(prefix + 'pack')),
    prefix,
    firstPack: base?.packs.length ?? 0,
    signal,
  })
  try {
    const startLsn = await session.start(id)
    const copied = await copyCluster({
      directory,
      packs,
      known,
      checksumsUntil: facts.hasChecksums ? parseLsn(startLsn) : undefined,
      throttle: new Throttle(options.bytesPerSecond, () => performance.now()),
      signal,
      progress: (doneBytes, totalBytes) => progress?.({ phase: 'copying', doneBytes, totalBytes }),
    })
    const ownPacks = await packs.end()
    const end = await session.stop()
    progress?.({ phase: 'log', doneBytes: copied.bytes, totalBytes: copied.bytes })
    const restorePoint = await markEnd(options, session, keeping, id, signal)
    await storeUntilNow(options, keeping, session, signal)
    progress?.({ phase: 'finishing', doneBytes: copied.bytes, totalBytes: copied.bytes })
    const at = (lsn: bigint): string => segmentAt(facts.timeline, lsn, facts.segmentBytes)
    const startSegment = at(parseLsn(startLsn))
    const endSegment = at(parseLsn(end.lsn) - 1n)
    await requireLog(keeping, startSegment, endSegment, facts.segmentBytes, signal)
    const manifest = await storeManifest(
      options,
      id,
      {
        label: end.label,
        folders: copied.folders,
        packs: [...(base?.packs ?? []), ...ownPacks].map(({ name }) => name),
        files: copied.files,
      },
      signal,
    )
    const record: BackupRecord = {
      format: 1,
      id,
      kind: base === undefined ? 'full' : 'differential',
      baseId: base?.id,
      startedAt,
      endedAt: end.endedAt,
      startLsn,
      endLsn: end.lsn,
      startSegment,
      endSegment,
      segmentBytes: facts.segmentBytes,
      timeline: facts.timeline,
      systemId: facts.systemId,
      postgresMajor: facts.major,
      lineage: keeping.lineage,
      keyId: key.id,
      databaseBytes: copied.bytes,
      storedBytes: manifest.bytes + ownPacks.reduce((sum, { bytes }) => sum + bytes, 0),
      restorePoint,
      manifest,
      packs: ownPacks,
    }
    await storeRecord(target, key, record, signal)
    return record
  } catch (error) {
    await removeUnfinished(target, prefix)
    throw error
  }
}

/** The newest full backup of this cluster that the key opens. */
async function findBase(
  { target, key }: BackupParts,
  systemId: string,
  signal: AbortSignal,
): Promise<BackupRecord | undefined> {
  const found = await readRecords(target, key, signal)
  return found
    .flatMap(({ record }) => record ?? [])
    .findLast((one) => one.kind === 'full' && one.keyId === key.id && one.systemId === systemId)
}

async function requireRoom(
  { target, key }: BackupParts,
  directory: string,
  base: BackupRecord | undefined,
  signal: AbortSignal,
): Promise<void> {
  const free = await target.freeBytes()
  if (free === undefined) return
  const records = (await readRecords(target, key, signal)).flatMap(({ record }) => record ?? [])
  const like = records.findLast(({ kind }) => kind === (base === undefined ? 'full' : 'differential'))
  const share =
    like === undefined
      ? COMPRESSED_SHARE * (base === undefined ? 1 : CHANGED_SHARE)
      : like.storedBytes / Math.max(1, like.databaseBytes)
  const needed = Math.ceil((await listClusterFiles(directory)).bytes * share) + ROOM_BYTES
  if (free >= needed) return
  const mib = (bytes: number): string => `${Math.ceil(bytes / 1024 ** 2).toLocaleString('en-US')} MiB`
  throw new NomalyError(
    'unavailable',
    `${target.place} has ${mib(free)} left; the backup takes about ${mib(needed)}.`,
    {
      hint: 'Free some space there, keep fewer backups (NOMALY_BACKUP_KEEP_FULL, NOMALY_BACKUP_KEEP_DAYS), or name another place with NOMALY_BACKUP_TARGET.',
    },
  )
}

/** Has the server keep its log, from before the backup begins. */
async function keepLog(
  { target, key, cluster, segmentSeconds }: BackupParts,
  directory: string,
  adminUrl: string,
  session: BaseSession,
  signal: AbortSignal,
): Promise<LogKeeping> {
  const found = await readLineage(directory)
  const lineage = { id: found?.id ?? randomUUID(), segmentSeconds }
  if (found?.segmentSeconds !== segmentSeconds) await cluster.keepLog(lineage)
  const client = await connectAdmin(adminUrl)
  try {
    await awaitKept(client, session.facts, directory, signal)
  } finally {
    await client.end()
  }
  return { target, key, directory, lineage: lineage.id }
}

async function knownChunks(
  { target, key }: BackupParts,
  base: BackupRecord,
  signal: AbortSignal,
): Promise<Map<string, ChunkPlace>> {
  const sealed = await target.get(base.manifest.name, signal)
  if (sealed === undefined || hash('sha256', sealed) !== base.manifest.sha256)
    throw new NomalyError('unavailable', `The full backup ${base.id} is damaged: ${base.manifest.name}.`, {
      hint: 'Make a full one: `nomaly backup create --kind full`.',
    })
  const manifest = await openManifest(key, base.id, sealed)
  const known = new Map<string, ChunkPlace>()
  for (const { chunks, hashes } of manifest.files) {
    const digests = Buffer.from(hashes, 'base64')
    for (const [at, place] of chunks.entries())
      known.set(digests.subarray(at * HASH_BYTES, (at + 1) * HASH_BYTES).toString('latin1'), place)
  }
  return known
}

/** Names the moment at which the backup ended, in every database of the installation. */
async function markEnd(
  { target, metricsAdminUrl, log, clock }: BackupParts,
  session: BaseSession,
  { lineage }: LogKeeping,
  id: string,
  signal: AbortSignal,
): Promise<string | undefined> {
  const name = `backup-${id}`
  const [lsn, metricsLsn] = await Promise.all([
    session.mark(name),
    metricsAdminUrl === undefined ? undefined : markMetrics(metricsAdminUrl, name),
  ])
  if (metricsLsn === null)
    log(
      'No restore point could be set in the metrics database: its login may not execute pg_create_restore_point.',
    )
  const at = new Date(clock()).toISOString()
  await storePoint(
    target,
    { name, lineage, lsn, at, ...(metricsLsn === undefined ? {} : { metricsLsn }) },
    signal,
  )
  return metricsLsn === null ? undefined : name
}

async function storeUntilNow(
  { cluster }: BackupParts,
  keeping: LogKeeping,
  { facts }: BaseSession,
  signal: AbortSignal,
): Promise<void> {
  const client = await connectAdmin(await cluster.adminUrl())
  try {
    await awaitStored(client, keeping, await finishSegment(client, facts), signal)
  } finally {
    await client.end()
  }
}

/** Log that waited for too long may have been let go. @throws NomalyError `unavailable`. */
async function requireLog(
  { target, lineage }: LogKeeping,
  first: string,
  last: string,
  segmentBytes: number,
  signal: AbortSignal,
): Promise<void> {
  const stored = new Set(
    (await listStoredLog(target, undefined, lineage, signal)).map(({ segment }) => segment),
  )
  for (let name = first; name <= last; name = nextSegment(name, segmentBytes))
    if (!stored.has(name))
      throw new NomalyError(
        'unavailable',
        `The segment ${name} of the write-ahead log, which the backup needs, was not stored.`,
        {
          hint: 'The target was away for too long meanwhile. Make the backup again.',
        },
      )
}

async function storeManifest(
  { target, key }: BackupParts,
  id: string,
  manifest: Parameters<typeof sealManifest>[2],
  signal: AbortSignal,
): Promise<RecordedFile> {
  const name = `${BACKUPS}${id}/manifest`
  const sealed = await sealManifest(key, id, manifest)
  await target.put(name, sealed, signal)
  return { name, bytes: sealed.length, sha256: hash('sha256', sealed) }
}

/** What was stored of a backup that failed; where even that fails, it has no record and is removed later. */
async function removeUnfinished(target: BackupTarget, prefix: string): Promise<void> {
  const signal = AbortSignal.timeout(30_000)
  try {
    const files = await target.list(prefix, signal)
    await target.remove(
      files.map(({ name }) => name),
      signal,
    )
  } catch {
    // The first error is the one to tell.
  }
}
