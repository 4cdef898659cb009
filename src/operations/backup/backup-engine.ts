/** How a backup was made: a full one stands by itself, a differential one needs the full one that it names. */
export type BackupKind = 'full' | 'differential'

/** A backup that is whole, as {@link BackupEngine.list} answers it. What is not whole is never listed. */
export interface Backup {
  /** Sorts by time within an engine. */
  readonly id: string
  readonly kind: BackupKind
  /** The full backup that a differential one needs. */
  readonly baseId: string | undefined
  /** ISO 8601. */
  readonly startedAt: string
  /** Until when it ran; a restore reaches no moment before this. ISO 8601. */
  readonly endedAt: string
  /** Where the write-ahead log stood at the end: the first position that it can be restored to. As `0/1A2B3C4D`. */
  readonly endLsn: string
  readonly timeline: number
  /** Of the PostgreSQL cluster, in decimal digits. */
  readonly systemId: string
  /** Major version of PostgreSQL. */
  readonly postgresMajor: number
  /** Of the files that were read. */
  readonly databaseBytes: number
  /** What it takes in the target, without the backup that it builds on. */
  readonly storedBytes: number
  /** The named restore point that was set in every database of the installation as it ended, where that was possible. */
  readonly restorePoint: string | undefined
}

/** How far the stored log reaches. */
export interface Recoverable {
  /** The earliest moment that can be restored to, ISO 8601; `undefined` while there is no backup. */
  readonly from: string | undefined
  /** When the newest piece of log that is stored was finished, ISO 8601: what was committed later is not in the target yet. */
  readonly until: string | undefined
}

/** To which state a restore goes. `latest` is everything that is stored; `immediate` the earliest state of the backup itself. */
export type RestoreTarget =
  | { readonly kind: 'latest' }
  | { readonly kind: 'immediate' }
  /** The last state at or before this instant, in epoch milliseconds. */
  | { readonly kind: 'time'; readonly ms: number }
  /** As `0/1A2B3C4D`; what ends there is in. */
  | { readonly kind: 'lsn'; readonly lsn: string }
  /** A named restore point. */
  | { readonly kind: 'name'; readonly name: string }

/** Where long work stands. */
export interface BackupProgress {
  readonly phase: 'preparing' | 'copying' | 'log' | 'verifying' | 'recovering' | 'finishing'
  readonly doneBytes: number
  /** `undefined` where it is not known. */
  readonly totalBytes: number | undefined
}

/** What all long work takes. */
export interface BackupWork {
  readonly signal: AbortSignal
  readonly progress?: (progress: BackupProgress) => void
}

export interface CreateOptions extends BackupWork {
  /** A differential one becomes a full one where there is no full one to build on. */
  readonly kind: BackupKind
}

/** Something that is wrong with what is stored. */
export interface BackupFault {
  /** The stored file, as the target names it; for a page of the database the file that had it. */
  readonly file: string
  /** The backup that needs it; `undefined` for a piece of the log. */
  readonly backupId: string | undefined
  readonly reason: string
}

/** What a verification found. */
export interface VerifyReport {
  readonly backups: number
  readonly files: number
  readonly bytes: number
  readonly logSegments: number
  /** Empty where everything is as it was written. */
  readonly faults: readonly BackupFault[]
}

export interface RestoreOptions extends BackupWork {
  /** The newest that is old enough for the target is taken otherwise. */
  readonly backupId?: string
}

/** Files of a cluster that were restored: started on them, PostgreSQL replays the log up to the target and takes writes. */
export interface RestoredFiles {
  readonly backup: Backup
  /** Real path of the data directory of PostgreSQL. It belongs to the account that its server is to run as. */
  readonly directory: string
  readonly target: RestoreTarget
  readonly bytes: number
  readonly logSegments: number
  /**
   * Brings more of the log where PostgreSQL ended before its target; false where there is none. Engines that let PostgreSQL fetch it by
   * itself always answer false.
   */
  fetchMore(work: BackupWork): Promise<boolean>
}

/** What an engine can do, and what not. */
export interface BackupCapabilities {
  readonly create: boolean
  readonly restore: boolean
  readonly pointInTime: boolean
  readonly differential: boolean
  /** Why, where one of them is false. */
  readonly because: string | undefined
}

/** Backups of the database of an installation: of our own making, of pgBackRest's, or a provider's. */
export interface BackupEngine extends AsyncDisposable {
  readonly name: 'embedded' | 'pgbackrest' | 'managed'
  readonly supports: BackupCapabilities
  /** The target in words, without secrets. */
  readonly place: string
  /**
   * Makes a backup and has all log that it needs stored, too; then removes what the retention no longer wants.
   * @throws NomalyError `conflict` where another one is being made, `unavailable` where the target or the space does not suffice.
   */
  create(options: CreateOptions): Promise<Backup>
  /** All that are whole, oldest first. */
  list(signal: AbortSignal): Promise<Backup[]>
  recoverable(signal: AbortSignal): Promise<Recoverable>
  /** Has everything that was committed by now stored, so that it can be restored; where the server runs. */
  flush(signal: AbortSignal): Promise<void>
  /** Reads everything that is stored of one backup, or of all and their log, and compares it with its checksums. */
  verify(backupId: string | undefined, work: BackupWork): Promise<VerifyReport>
  /**
   * Writes the files of a cluster into `folder/postgres`, with what PostgreSQL needs to replay the log up to the target. The folder must be
   * new, empty or an empty data folder.
   * @throws NomalyError `not_found` where no backup reaches the target, `unavailable` where something that is needed is missing.
   */
  restoreInto(folder: string, target: RestoreTarget, options: RestoreOptions): Promise<RestoredFiles>
  /** Removes what the retention no longer wants; answers the ids of the backups that are gone. */
  prune(work: BackupWork): Promise<string[]>
}
