import { hash } from 'node:crypto'
import type { BackupFault, BackupWork, VerifyReport } from './backup-engine.ts'
import type { BackupKey } from './backup-key.ts'
import { type BackupRecord, BACKUPS, readRecords, type RecordedFile, recordName } from './backup-record.ts'
import { CHUNK_BYTES, HASH_BYTES, type Manifest, openManifest } from './manifest.ts'
import { chunksByPack, openChunk, packPurpose, type PackedChunk } from './restore-files.ts'
import { Unreadable } from './sealed-piece.ts'
import { listStoredLog } from './stored-log.ts'
import type { BackupTarget } from './target/backup-target.ts'
import { nextSegment } from './wal-segment.ts'

/** Files of the database that are named for one stored file. */
const NAMED_FILES = 5

/** Reads everything that is stored and compares it with its checksums; finds log that is missing, too. */
export async function verifyBackups(
  target: BackupTarget,
  key: BackupKey,
  backupId: string | undefined,
  { signal, progress }: BackupWork,
): Promise<VerifyReport> {
  const found = await readRecords(target, key, signal)
  const faults: BackupFault[] = found
    .filter(({ fault }) => fault !== undefined)
    .map(({ name, fault }) => ({
      file: name,
      backupId: name.slice(BACKUPS.length).split('/')[0],
      reason: fault!,
    }))
  const all = found.flatMap(({ record }) => record ?? [])
  const records = backupId === undefined ? all : withBase(all, backupId)
  const totalBytes = records.reduce((sum, { storedBytes }) => sum + storedBytes, 0)
  let files = 0
  let bytes = 0
  const check = async (record: BackupRecord, file: RecordedFile): Promise<Buffer | undefined> => {
    signal.throwIfAborted()
    const body = await target.get(file.name, signal)
    files++
    bytes += body?.length ?? 0
    progress?.({ phase: 'verifying', doneBytes: bytes, totalBytes })
    const reason = faultOf(file, body)
    if (reason !== undefined) faults.push({ file: file.name, backupId: record.id, reason })
    return reason === undefined ? body : undefined
  }
  for (const record of records) {
    if (record.keyId !== key.id) {
      const reason = `was made with another key (${record.keyId})`
      faults.push({ file: recordName(record.id), backupId: record.id, reason })
      continue
    }
    const manifest = await openChecked(key, record, await check(record, record.manifest), faults)
    const chunks = manifest === undefined ? undefined : chunksByPack(manifest)
    for (const pack of record.packs) {
      const before = faults.length
      const body = await check(record, pack)
      if (chunks === undefined) continue
      const broken =
        body === undefined
          ? await brokenFiles(target, key, pack.name, chunks.get(pack.name) ?? [], signal)
          : await wrongFiles(key, pack.name, body, chunks.get(pack.name) ?? [])
      if (broken.length === 0) continue
      const named = `${broken.slice(0, NAMED_FILES).join(', ')}${broken.length > NAMED_FILES ? ` and ${broken.length - NAMED_FILES} more` : ''}`
      const reason = `${faults[before]?.reason ?? 'does not hold what was read'}; it has data of ${named}`
      faults.splice(before, 1, { file: pack.name, backupId: record.id, reason })
    }
  }
  const logSegments = await verifyLog(target, key, records, faults, signal)
  return { backups: records.length, files, bytes, logSegments, faults }
}

/** A backup and what it builds on. */
function withBase(all: readonly BackupRecord[], id: string): BackupRecord[] {
  const one = all.find((record) => record.id === id)
  return all.filter((record) => record.id === id || record.id === one?.baseId)
}

function faultOf({ bytes, sha256 }: RecordedFile, body: Buffer | undefined): string | undefined {
  if (body === undefined) return 'is missing'
  if (body.length !== bytes) return `has ${body.length} bytes instead of ${bytes}`
  return hash('sha256', body) === sha256 ? undefined : 'is altered: its SHA-256 is another'
}

async function openChecked(
  key: BackupKey,
  record: BackupRecord,
  body: Buffer | undefined,
  faults: BackupFault[],
): Promise<Manifest | undefined> {
  if (body === undefined) return undefined
  try {
    return await openManifest(key, record.id, body)
  } catch (error) {
    if (!(error instanceof Unreadable)) throw error
    faults.push({ file: record.manifest.name, backupId: record.id, reason: error.message })
    return undefined
  }
}

/** The files of the database that have a chunk in this pack which cannot be read. */
async function brokenFiles(
  target: BackupTarget,
  key: BackupKey,
  pack: string,
  chunks: readonly PackedChunk[],
  signal: AbortSignal,
): Promise<string[]> {
  return wrongFiles(key, pack, (await target.get(pack, signal)) ?? Buffer.alloc(0), chunks)
}

/** The files of the database that have a chunk in this pack which is not what was read from them. */
async function wrongFiles(
  key: BackupKey,
  pack: string,
  body: Buffer,
  chunks: readonly PackedChunk[],
): Promise<string[]> {
  const derived = key.derive(packPurpose(pack))
  const wrong = new Set<string>()
  for (const chunk of chunks) {
    const plain = await openChunk(derived, pack, body, chunk).catch(() => undefined)
    const hashes = Buffer.from(chunk.file.hashes, 'base64')
    const wanted = hashes.subarray(chunk.at * HASH_BYTES, (chunk.at + 1) * HASH_BYTES)
    if (plain === undefined || !hash('sha256', plain, 'buffer').equals(wanted))
      wrong.add(
        `${chunk.file.path}${chunk.file.bytes > CHUNK_BYTES ? ` (at ${chunk.at * CHUNK_BYTES})` : ''}`,
      )
  }
  return [...wrong]
}

/** Opens every segment of the runs of log that these backups need, and looks for gaps; answers how many there are. */
async function verifyLog(
  target: BackupTarget,
  key: BackupKey,
  records: readonly BackupRecord[],
  faults: BackupFault[],
  signal: AbortSignal,
): Promise<number> {
  let segments = 0
  for (const lineage of new Set(records.map((record) => record.lineage))) {
    const ofRun = records.filter((record) => record.lineage === lineage && record.keyId === key.id)
    if (ofRun.length === 0) continue
    const log = await listStoredLog(target, key, lineage, signal)
    const names = new Set(log.map(({ segment }) => segment))
    const first = ofRun.map(({ startSegment }) => startSegment).toSorted()[0]!
    const lastNeeded = ofRun
      .map(({ endSegment }) => endSegment)
      .toSorted()
      .at(-1)!
    const last = log.at(-1)?.segment ?? ''
    for (
      let name = first;
      name <= (last > lastNeeded ? last : lastNeeded);
      name = nextSegment(name, ofRun[0]!.segmentBytes)
    )
      if (!names.has(name))
        faults.push({ file: `wal/${lineage}/${name}`, backupId: undefined, reason: 'is missing' })
    for (const one of log) {
      signal.throwIfAborted()
      if (one.segment < first) continue
      segments++
      try {
        await one.read(signal)
      } catch (error) {
        if (!(error instanceof Unreadable)) throw error
        faults.push({ file: one.stored!, backupId: undefined, reason: error.message })
      }
    }
  }
  return segments
}
