/** A file as it is stored. */
export interface StoredFile {
  /** With slashes between its parts, below the root of the target. */
  readonly name: string
  readonly bytes: number
}

/** Where backups are kept: a folder, or a bucket that speaks S3. Errors say what is wrong with the target, and are `unavailable`. */
export interface BackupTarget {
  /** In words, without secrets. */
  readonly place: string
  /** Stores a file, whole or not at all; replaces one of that name. */
  put(name: string, body: Buffer, signal: AbortSignal): Promise<void>
  /** A file, or `undefined` where there is none. */
  get(name: string, signal: AbortSignal): Promise<Buffer | undefined>
  /** All files whose names begin so, sorted by name. */
  list(prefix: string, signal: AbortSignal): Promise<StoredFile[]>
  /** Whether nothing at all is there. */
  isEmpty(signal: AbortSignal): Promise<boolean>
  /** Removes files; that there is none is no error. */
  remove(names: readonly string[], signal: AbortSignal): Promise<void>
  /** How much more fits; `undefined` where that cannot be known. */
  freeBytes(): Promise<number | undefined>
}
