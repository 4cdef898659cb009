import { hash } from 'node:crypto'
import { type FileHandle, open } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { NomalyError } from '../../errors.ts'
import { listClusterFiles } from './cluster-files.ts'
import { CHUNK_BYTES, type ChunkPlace, HASH_BYTES, type Manifest, type ManifestFile } from './manifest.ts'
import type { PackWriter } from './pack-writer.ts'
import { firstBlock, isSoundPage, PAGE_BYTES, pageLsn } from './page-checksum.ts'
import type { Throttle } from './throttle.ts'

/** A page may be half written while it is read; a moment later it is whole. */
const REREADS = 5
const REREAD_PAUSE_MS = 20

export interface CopyOptions {
  readonly directory: string
  readonly packs: PackWriter
  /** Chunks that are stored already, by their hash. */
  readonly known: Map<string, ChunkPlace>
  /** Where the backup began: pages that changed later are made whole by the log. `undefined` where pages have no checksums. */
  readonly checksumsUntil: bigint | undefined
  readonly throttle: Throttle
  readonly signal: AbortSignal
  progress(doneBytes: number, totalBytes: number): void
}

/** What was copied. */
export type CopiedCluster = Pick<Manifest, 'folders' | 'files'> & { readonly bytes: number }

/**
 * Copies the files of a cluster while its server runs, between `pg_backup_start` and `pg_backup_stop`: what changes meanwhile is in the log.
 * @throws NomalyError `unavailable` where a page is damaged.
 */
export async function copyCluster(options: CopyOptions): Promise<CopiedCluster> {
  const { directory, signal } = options
  const found = await listClusterFiles(directory)
  const files: ManifestFile[] = []
  let bytes = 0
  for (const path of found.files) {
    signal.throwIfAborted()
    // A file that vanished was dropped, and the log says so.
    const file = await open(join(directory, path), 'r').catch((error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOENT') return undefined
      throw error
    })
    if (file === undefined) continue
    try {
      const report = (fileBytes: number): void => options.progress(bytes + fileBytes, found.bytes)
      const copied = await copyFile(options, path, file, report)
      files.push(copied)
      bytes += copied.bytes
    } finally {
      await file.close()
    }
  }
  return { folders: found.folders, files, bytes }
}

async function copyFile(
  { packs, known, checksumsUntil, throttle, signal }: CopyOptions,
  path: string,
  file: FileHandle,
  report: (fileBytes: number) => void,
): Promise<ManifestFile> {
  const places: ChunkPlace[] = []
  const hashes: Buffer[] = []
  const blockOfFile = checksumsUntil === undefined ? undefined : firstBlock(path)
  let bytes = 0
  for (let at = 0; ; at++) {
    await throttle.take(CHUNK_BYTES, signal)
    const chunk = await readChunk(file, at * CHUNK_BYTES)
    if (chunk.length === 0) break
    if (blockOfFile !== undefined)
      await requireSound(
        chunk,
        { file, path, offset: bytes, block: blockOfFile + bytes / PAGE_BYTES },
        checksumsUntil!,
      )
    const digest = hash('sha256', chunk, 'buffer')
    hashes.push(digest)
    const name = digest.toString('latin1')
    const place = known.get(name)
    if (place === undefined) {
      await packs.add(chunk, (stored) => {
        places[at] = stored
        known.set(name, stored)
      })
    } else places[at] = place
    bytes += chunk.length
    report(bytes)
    if (chunk.length < CHUNK_BYTES) break
  }
  // Filled to the end only when the last pack is: the caller encodes it after that.
  return {
    path,
    bytes,
    chunks: places,
    hashes: Buffer.concat(hashes, hashes.length * HASH_BYTES).toString('base64'),
  }
}

async function readChunk(file: FileHandle, position: number, length = CHUNK_BYTES): Promise<Buffer> {
  const buffer = Buffer.allocUnsafeSlow(length)
  let filled = 0
  while (filled < length) {
    const { bytesRead } = await file.read(buffer, filled, length - filled, position + filled)
    if (bytesRead === 0) break
    filled += bytesRead
  }
  return buffer.subarray(0, filled)
}

interface PagesPlace {
  readonly file: FileHandle
  readonly path: string
  readonly offset: number
  /** Number of the first page in its relation. */
  readonly block: number
}

/** Checks the pages of a chunk, and reads those again that are not whole; puts what it read into the chunk. */
async function requireSound(chunk: Buffer, place: PagesPlace, startLsn: bigint): Promise<void> {
  // A page that is being added at the end may be there in part: the log has it.
  for (let at = 0; at + PAGE_BYTES <= chunk.length; at += PAGE_BYTES) {
    const page = chunk.subarray(at, at + PAGE_BYTES)
    const block = place.block + at / PAGE_BYTES
    const isFine = (): boolean => isSoundPage(page, block) || pageLsn(page) >= startLsn
    for (let tries = 0; !isFine(); tries++) {
      if (tries === REREADS) throw damaged(place.path, at + place.offset)
      await sleep(REREAD_PAUSE_MS)
      const again = await readChunk(place.file, place.offset + at, PAGE_BYTES)
      // Cut off meanwhile, which the log does again.
      if (again.length < PAGE_BYTES) break
      again.copy(page)
    }
  }
}

function damaged(path: string, offset: number): NomalyError {
  return new NomalyError(
    'unavailable',
    `The database is damaged: the page at byte ${offset} of ${path} does not have its checksum. No backup was made.`,
    {
      hint: 'Earlier backups are kept. Restore the newest to a new folder and look whether it is whole: `nomaly backup verify`, then `nomaly backup restore`. Check the disk of this machine.',
    },
  )
}
