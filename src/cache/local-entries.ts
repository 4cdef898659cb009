import type { Position } from '../database/position.ts'
import type { Watch } from './cache-store.ts'

/** A value in the memory of this process. */
export interface LocalEntry {
  readonly value: unknown
  readonly generation: string
  /** Of the floors that it was read under, in the order of `tags`. */
  readonly nonces: readonly string[]
  readonly tags: readonly string[]
  /** It is no older than these. */
  readonly positions: () => readonly Position[]
  readonly expiresAtMs: number
  readonly bytes: number
  /** When it was known last to be the newest there is. */
  validatedAtMs: number
  watch: Watch | undefined
}

/** What the bookkeeping of an entry takes, about. */
const OVERHEAD_BYTES = 500

/** Values in the memory of this process, up to a number of bytes: what was not used for longest makes room. */
export class LocalEntries {
  readonly #entries = new Map<string, LocalEntry>()
  readonly #maxBytes: number
  #bytes = 0

  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes
  }

  /** What all of them take. */
  get bytes(): number {
    return this.#bytes
  }

  get size(): number {
    return this.#entries.size
  }

  get(id: string): LocalEntry | undefined {
    const entry = this.#entries.get(id)
    if (entry !== undefined) {
      this.#entries.delete(id)
      this.#entries.set(id, entry)
    }
    return entry
  }

  /** Keeps an entry, unless it takes more than an eighth of the room; answers whether it did. */
  set(id: string, entry: LocalEntry): boolean {
    this.delete(id)
    const bytes = entry.bytes + OVERHEAD_BYTES
    if (bytes > this.#maxBytes / 8) return false
    this.#entries.set(id, entry)
    this.#bytes += bytes
    while (this.#bytes > this.#maxBytes) this.delete(this.#entries.keys().next().value!)
    return true
  }

  delete(id: string): void {
    const entry = this.#entries.get(id)
    if (entry === undefined) return
    this.#entries.delete(id)
    this.#bytes -= entry.bytes + OVERHEAD_BYTES
  }
}
