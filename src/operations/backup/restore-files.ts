import { type FileHandle, mkdir, open, writeFile } from 'node:fs/promises'
import { dirname, join, normalize } from 'node:path'
import { NomalyError } from '../../errors.ts'
import type { BackupKey } from './backup-key.ts'
import { CHUNK_BYTES, chunkLabel, type Manifest, type ManifestFile } from './manifest.ts'
import { openPiece, Unreadable } from './sealed-piece.ts'
import type { BackupTarget } from './target/backup-target.ts'

const AT_ONCE = 4
const OPEN_FILES = 64

/** A chunk in a pack, and where it belongs. */
export interface PackedChunk {
  readonly number: number
  readonly offset: number
  readonly length: number
  readonly file: ManifestFile
  /** Which chunk of the file. */
  readonly at: number
}

export interface RestoreFilesOptions {
  readonly target: BackupTarget
  readonly key: BackupKey
  readonly manifest: Manifest
  /** Empty. */
  readonly directory: string
  readonly signal: AbortSignal
  progress(doneBytes: number): void
}

/** Writes all files of a manifest. PostgreSQL brings them to disk itself before it recovers. @throws NomalyError that names the stored file which is damaged. */
export async function restoreFiles(options: RestoreFilesOptions): Promise<void> {
  const { target, key, manifest, directory, signal } = options
  for (const folder of manifest.folders)
    await mkdir(join(directory, requireInside(folder)), { recursive: true, mode: 0o700 })
  const emptied = manifest.files.filter(({ bytes }) => bytes === 0)
  for (const { path } of emptied)
    await writeFile(join(directory, requireInside(path)), '', { mode: 0o600, flag: 'wx' })
  await using files = new OpenFiles(directory)
  const byPack = chunksByPack(manifest)
  const names = [...byPack.keys()]
  let doneBytes = 0
  let next = read(target, names[0], signal)
  for (const [order, pack] of names.entries()) {
    const body = await next
    next = read(target, names[order + 1], signal)
    // Looked at when its turn comes.
    next.catch(() => {})
    if (body === undefined) throw damaged(pack, 'is missing')
    const chunks = byPack.get(pack)!
    const derived = key.derive(packPurpose(pack))
    for (let at = 0; at < chunks.length; at += AT_ONCE) {
      signal.throwIfAborted()
      const batch = chunks.slice(at, at + AT_ONCE)
      await Promise.all(
        batch.map(async (chunk) => {
          const plain = await openChunk(derived, pack, body, chunk).catch((error: unknown) => {
            throw error instanceof Unreadable ? damaged(pack, error.message) : error
          })
          await files.write(chunk.file.path, plain, chunk.at * CHUNK_BYTES)
          doneBytes += plain.length
        }),
      )
      await files.trim()
      options.progress(doneBytes)
    }
  }
}

/** A purpose for each backup, so that what is encrypted with one key stays little. */
export function packPurpose(pack: string): string {
  return dirname(pack)
}

/** What each pack holds of a manifest, in the order of the pack. */
export function chunksByPack(manifest: Manifest): Map<string, PackedChunk[]> {
  const byPack = new Map<string, PackedChunk[]>()
  for (const file of manifest.files)
    for (const [at, [pack, number, offset, length]] of file.chunks.entries()) {
      const name = manifest.packs[pack]!
      const chunks = byPack.get(name) ?? []
      byPack.set(name, chunks)
      chunks.push({ number, offset, length, file, at })
    }
  for (const chunks of byPack.values()) chunks.sort((a, b) => a.offset - b.offset)
  return byPack
}

/** The data of a chunk. @throws Unreadable. */
export async function openChunk(
  key: Buffer,
  pack: string,
  body: Buffer,
  { number, offset, length, file, at }: PackedChunk,
): Promise<Buffer> {
  const bytes = Math.min(CHUNK_BYTES, file.bytes - at * CHUNK_BYTES)
  const sealed = body.subarray(offset, offset + length)
  const plain = await openPiece(key, chunkLabel(pack, number), sealed, bytes)
  if (plain.length !== bytes) throw new Unreadable('holds something else')
  return plain
}

async function read(
  target: BackupTarget,
  name: string | undefined,
  signal: AbortSignal,
): Promise<Buffer | undefined> {
  return name === undefined ? undefined : target.get(name, signal)
}

/** A manifest is of our own making and cannot be altered without the key; that no path leads out is checked all the same. */
function requireInside(path: string): string {
  if (path.startsWith('/') || normalize(path) !== path || path.startsWith('..'))
    throw new NomalyError('internal', `A path in the backup leads out of it: ${path}.`)
  return path
}

/** What cannot be restored for want of a stored file. */
export function damaged(name: string, reason: string): NomalyError {
  return new NomalyError('unavailable', `${name} in the target ${reason}.`, {
    hint: 'Run `nomaly backup verify` to see all that is wrong, and restore another backup with --backup.',
  })
}

/** The files that were written last, kept open. */
class OpenFiles implements AsyncDisposable {
  readonly #directory: string
  readonly #files = new Map<string, Promise<FileHandle>>()
  readonly #made = new Set<string>()

  constructor(directory: string) {
    this.#directory = directory
  }

  async write(path: string, body: Buffer, position: number): Promise<void> {
    const file = await this.#open(path)
    for (let done = 0; done < body.length;)
      done += (await file.write(body, done, body.length - done, position + done)).bytesWritten
  }

  async #open(path: string): Promise<FileHandle> {
    const kept = this.#files.get(path)
    if (kept !== undefined) return kept
    const flag = this.#made.has(path) ? 'r+' : 'wx'
    this.#made.add(path)
    const opening = open(join(this.#directory, requireInside(path)), flag, 0o600)
    this.#files.set(path, opening)
    return opening
  }

  /** Closes those that were opened first, between batches. */
  async trim(): Promise<void> {
    for (const [path, file] of this.#files) {
      if (this.#files.size <= OPEN_FILES) return
      this.#files.delete(path)
      await (await file).close()
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const file of this.#files.values()) await (await file.catch(() => undefined))?.close()
  }
}
