import { NomalyError } from '../../errors.ts'
import type {
  Backup,
  BackupCapabilities,
  BackupEngine,
  Recoverable,
  RestoredFiles,
  VerifyReport,
} from './backup-engine.ts'
import { runCommand } from './managed/run-command.ts'
import { parseSnapshots, type SnapshotList } from './managed/snapshots.ts'

export interface ManagedOptions {
  /** Prints what the provider has, as JSON. */
  readonly listCommand: string
  readonly maxAgeMs: number
  readonly clock: () => number
}

const TIMEOUT_MS = 60_000
const BECAUSE =
  'The provider of the server makes its backups: they are watched here, and restored by what the provider offers.'

/** The snapshots of a provider, who makes them: nothing is made or removed here. */
export class ManagedBackupEngine implements BackupEngine {
  readonly name = 'managed'
  readonly place = 'the snapshots of the provider'
  readonly supports: BackupCapabilities = {
    create: false,
    restore: false,
    pointInTime: false,
    differential: false,
    because: BECAUSE,
  }
  readonly #options: ManagedOptions

  constructor(options: ManagedOptions) {
    this.#options = options
  }

  /** All there are. @throws NomalyError `unavailable` where the command fails. */
  async snapshots(signal: AbortSignal): Promise<SnapshotList> {
    const text = await runCommand({
      setting: 'NOMALY_SNAPSHOT_COMMAND',
      command: this.#options.listCommand,
      variables: {},
      signal,
      timeoutMs: TIMEOUT_MS,
    })
    return parseSnapshots(text)
  }

  async list(signal: AbortSignal): Promise<Backup[]> {
    const { snapshots } = await this.snapshots(signal)
    return snapshots.map(({ id, at, bytes }) => ({
      id,
      kind: 'full',
      baseId: undefined,
      startedAt: at.toISOString(),
      endedAt: at.toISOString(),
      // A provider tells none of these.
      endLsn: '0/0',
      timeline: 0,
      systemId: '',
      postgresMajor: 0,
      databaseBytes: bytes ?? 0,
      storedBytes: bytes ?? 0,
      restorePoint: undefined,
    }))
  }

  async recoverable(signal: AbortSignal): Promise<Recoverable> {
    const { snapshots, recoverableFrom, recoverableUntil } = await this.snapshots(signal)
    return {
      from: (recoverableFrom ?? snapshots[0]?.at)?.toISOString(),
      until: (recoverableUntil ?? snapshots.at(-1)?.at)?.toISOString(),
    }
  }

  /** That they are young enough is all that can be seen from here; what is in them a drill shows. */
  async verify(
    _backupId: string | undefined,
    { signal }: { readonly signal: AbortSignal },
  ): Promise<VerifyReport> {
    const { maxAgeMs, clock } = this.#options
    const { snapshots, recoverableUntil } = await this.snapshots(signal)
    const newest = recoverableUntil ?? snapshots.at(-1)?.at
    const hours = (ms: number): string => (ms / 3_600_000).toFixed(1)
    const reason =
      newest === undefined
        ? 'There is none.'
        : clock() - newest.getTime() > maxAgeMs
          ? `It is ${hours(clock() - newest.getTime())} hours old; ${hours(maxAgeMs)} are allowed.`
          : undefined
    const file = snapshots.at(-1)?.id ?? 'snapshots'
    return {
      backups: snapshots.length,
      files: 0,
      bytes: snapshots.reduce((sum, { bytes = 0 }) => sum + bytes, 0),
      logSegments: 0,
      faults: reason === undefined ? [] : [{ file, backupId: snapshots.at(-1)?.id, reason }],
    }
  }

  create(): Promise<Backup> {
    return Promise.reject(notOurs())
  }

  flush(): Promise<void> {
    return Promise.reject(notOurs())
  }

  restoreInto(): Promise<RestoredFiles> {
    return Promise.reject(notOurs())
  }

  prune(): Promise<string[]> {
    return Promise.reject(notOurs())
  }

  async [Symbol.asyncDispose](): Promise<void> {}
}

function notOurs(): NomalyError {
  return new NomalyError('invalid_input', BECAUSE, {
    hint: '`nomaly backup list`, `verify` and `drill` work; the rest is the console of the provider, or its command line.',
  })
}
