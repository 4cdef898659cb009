import type { ErasedCounts, ErasureSubject } from './erasure.ts'

/** What became of the write-ahead log of one server. */
export interface LogRecycling {
  /** Of which database it is. */
  readonly database: string
  /** Segments that held what was written before, and are gone. */
  readonly segments: number
  /** Whether none of them is left. */
  readonly isClean: boolean
}

/** A table whose dead rows are gone, because it was written anew. */
export interface RewrittenTable {
  readonly database: string
  readonly table: string
  readonly bytesBefore: number
  readonly bytesAfter: number
}

/** What an erasure has done, for whoever asked for it; names nobody. */
export interface Receipt {
  readonly id: string
  readonly kind: ErasureSubject['kind']
  readonly requestedBy: string
  /** ISO 8601. */
  readonly requestedAt: string
  readonly finishedAt: string
  readonly removed: ErasedCounts
  readonly rewritten: readonly RewrittenTable[]
  readonly writeAheadLogs: readonly LogRecycling[]
  /** Keys of Redis that were removed; `null` where there is none, or it was not its turn. */
  readonly redisKeys: number | null
  readonly backups: BackupReceipt
  /** Sentences on what is left, why, and until when. */
  readonly left: readonly string[]
}

/** What backups still hold. */
export interface BackupReceipt {
  /** Name of the one that was taken afterwards; `null` where none was. */
  readonly fresh: string | null
  /** When the last backup that is older than the erasure expires, ISO 8601; `null` where there is none, or nobody knows of any. */
  readonly olderExpireAt: string | null
}

/** Backups as an erasure needs them: whoever takes backups of an installation gives it one of these. */
export interface ErasureBackups {
  /** Takes a backup of everything as it is now; answers its name. */
  take(signal: AbortSignal): Promise<string>
  /** When the last of the backups that were begun before a time expires; `undefined` where there is none. */
  lastExpiry(before: Date): Promise<Date | undefined>
}
