import type { BackupKey } from './backup-key.ts'
import { openPiece, sealPiece } from './sealed-piece.ts'

/** Bytes of a file that are hashed, compressed and encrypted at once: 32 pages, of which one that changed has all stored again. */
export const CHUNK_BYTES = 262_144

/** Bytes of a SHA-256. */
export const HASH_BYTES = 32

const MAX_MANIFEST_BYTES = 1_073_741_824

/** Where a chunk is stored: the number of its pack in the manifest's list, which chunk of it it is, and where it stands, in bytes. */
export type ChunkPlace = readonly [pack: number, number: number, offset: number, length: number]

/** A file of the cluster. */
export interface ManifestFile {
  /** Below the data directory. */
  readonly path: string
  readonly bytes: number
  readonly chunks: readonly ChunkPlace[]
  /** The SHA-256 of each chunk, one after the other, base64. */
  readonly hashes: string
}

/** All that a backup restores, file by file. */
export interface Manifest {
  /** The text of `backup_label`, from which PostgreSQL knows where to begin with the log. */
  readonly label: string
  readonly folders: readonly string[]
  /** Names in the target: of this backup, and of the full one that it builds on. */
  readonly packs: readonly string[]
  readonly files: readonly ManifestFile[]
}

/** Encrypts a manifest. */
export function sealManifest(key: BackupKey, backupId: string, manifest: Manifest): Promise<Buffer> {
  const { label, folders, packs, files } = manifest
  const lines = [JSON.stringify({ label, folders, packs }), ...files.map((file) => JSON.stringify(file))]
  return sealPiece(key.derive('manifest'), backupId, Buffer.from(lines.join('\n')))
}

/** @throws Unreadable where it is not what was written. */
export async function openManifest(key: BackupKey, backupId: string, sealed: Buffer): Promise<Manifest> {
  const text = (await openPiece(key.derive('manifest'), backupId, sealed, MAX_MANIFEST_BYTES)).toString(
    'utf8',
  )
  const [head, ...lines] = text.split('\n')
  const { label, folders, packs } = JSON.parse(head!) as Omit<Manifest, 'files'>
  return { label, folders, packs, files: lines.map((line) => JSON.parse(line) as ManifestFile) }
}

/** The label under which a chunk is encrypted: it opens nowhere else. */
export function chunkLabel(pack: string, number: number): string {
  return `${pack} ${number}`
}
