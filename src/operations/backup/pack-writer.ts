import { hash } from 'node:crypto'
import type { RecordedFile } from './backup-record.ts'
import { type ChunkPlace, chunkLabel } from './manifest.ts'
import { sealPiece } from './sealed-piece.ts'
import type { BackupTarget } from './target/backup-target.ts'

/** Of a pack, about: large enough for a bucket, small enough to be kept in memory twice. */
const PACK_BYTES = 32 * 1024 * 1024

/** Chunks that are compressed at the same time. */
const AT_ONCE = 4

export interface PackWriterOptions {
  readonly target: BackupTarget
  readonly key: Buffer
  /** What the names of its packs begin with. */
  readonly prefix: string
  /** How many packs the manifest has before these. */
  readonly firstPack: number
  readonly signal: AbortSignal
}

/** Gathers chunks in packs and stores them. */
export class PackWriter {
  readonly #options: PackWriterOptions
  readonly #stored: RecordedFile[] = []
  #pieces: Buffer[] = []
  #bytes = 0
  #waiting: { readonly plain: Buffer; readonly place: (place: ChunkPlace) => void }[] = []
  #upload: Promise<void> = Promise.resolve()
  #failure: unknown

  constructor(options: PackWriterOptions) {
    this.#options = options
  }

  /** Takes a chunk, which it keeps; says where it went when that is known, at the latest at the end. */
  async add(plain: Buffer, place: (place: ChunkPlace) => void): Promise<void> {
    this.#waiting.push({ plain, place })
    if (this.#waiting.length >= AT_ONCE) await this.#seal()
  }

  /** Stores what is left; answers all packs. */
  async end(): Promise<readonly RecordedFile[]> {
    await this.#seal()
    if (this.#bytes > 0) await this.#store()
    await this.#uploaded()
    return this.#stored
  }

  async #seal(): Promise<void> {
    const batch = this.#waiting
    this.#waiting = []
    const pack = this.#packName()
    const first = this.#pieces.length
    const sealed = await Promise.all(
      batch.map(({ plain }, at) => sealPiece(this.#options.key, chunkLabel(pack, first + at), plain)),
    )
    for (const [at, { place }] of batch.entries()) {
      const piece = sealed[at]!
      place([this.#options.firstPack + this.#stored.length, first + at, this.#bytes, piece.length])
      this.#pieces.push(piece)
      this.#bytes += piece.length
    }
    if (this.#bytes >= PACK_BYTES) await this.#store()
  }

  #packName(): string {
    return `${this.#options.prefix}pack-${String(this.#stored.length + 1).padStart(6, '0')}`
  }

  /** Stores the pack that is full while the next one fills. */
  async #store(): Promise<void> {
    const name = this.#packName()
    const body = Buffer.concat(this.#pieces, this.#bytes)
    this.#pieces = []
    this.#bytes = 0
    this.#stored.push({ name, bytes: body.length, sha256: hash('sha256', body) })
    await this.#uploaded()
    this.#upload = this.#options.target.put(name, body, this.#options.signal).catch((error: unknown) => {
      this.#failure = error
    })
  }

  async #uploaded(): Promise<void> {
    await this.#upload
    if (this.#failure !== undefined) throw this.#failure
  }
}
