import { NomalyError } from '../../../errors.ts'
import type { RestoreTarget } from '../backup-engine.ts'
import { runCommand } from '../managed/run-command.ts'
import { parseRestored, type SnapshotList } from '../managed/snapshots.ts'
import type { BroughtUp, DrillAim, DrillSite, DrillStart, DrillWork } from './drill-site.ts'

export interface ManagedSiteOptions {
  snapshots(signal: AbortSignal): Promise<SnapshotList>
  /** Restores a snapshot to a server of its own, and prints its address. */
  readonly restoreCommand: string | undefined
  /** Takes that away again; nothing is taken away where it is left out. */
  readonly removeCommand: string | undefined
  readonly log: (message: string) => void
}

const RESTORE_TIMEOUT_MS = 24 * 3_600_000
const REMOVE_TIMEOUT_MS = 3_600_000

/** Has a provider restore one of its snapshots, by commands of the operator's. */
export class ManagedSite implements DrillSite {
  readonly engine = 'managed'
  readonly place = 'the snapshots of the provider'
  readonly limits = [
    'The provider made and restored this backup: what it does to bring the log up to date is not seen here.',
  ]
  readonly #options: ManagedSiteOptions

  constructor(options: ManagedSiteOptions) {
    this.#options = options
  }

  async begin(_name: string, signal: AbortSignal): Promise<DrillStart> {
    const { snapshots, recoverableUntil } = await this.#options.snapshots(signal)
    return { target: { kind: 'latest' }, storedUntil: recoverableUntil ?? snapshots.at(-1)?.at }
  }

  async bringUp(_folder: string, { backupId, target }: DrillAim, { signal }: DrillWork): Promise<BroughtUp> {
    const { restoreCommand, removeCommand, log } = this.#options
    if (restoreCommand === undefined)
      throw new NomalyError(
        'invalid_input',
        'There is no command that restores a snapshot of the provider.',
        {
          hint: 'Set NOMALY_SNAPSHOT_RESTORE_COMMAND; until then only the age of snapshots is watched.',
        },
      )
    const { snapshots } = await this.#options.snapshots(signal)
    const snapshot = backupId === undefined ? snapshots.at(-1) : snapshots.find(({ id }) => id === backupId)
    if (snapshot === undefined)
      throw new NomalyError('not_found', 'The provider has no such snapshot.', {
        hint: '`nomaly backup list` shows what it has.',
      })
    const variables = { NOMALY_SNAPSHOT_ID: snapshot.id, NOMALY_RESTORE_TO: say(target) }
    const text = await runCommand({
      setting: 'NOMALY_SNAPSHOT_RESTORE_COMMAND',
      command: restoreCommand,
      variables,
      signal,
      timeoutMs: RESTORE_TIMEOUT_MS,
    })
    const remove = async (): Promise<void> => {
      if (removeCommand === undefined) return
      try {
        await runCommand({
          setting: 'NOMALY_SNAPSHOT_REMOVE_COMMAND',
          command: removeCommand,
          variables,
          input: text,
          // Also where the drill was told to stop.
          signal: new AbortController().signal,
          timeoutMs: REMOVE_TIMEOUT_MS,
        })
      } catch (error) {
        log(`What the drill restored may still be there, and cost money: ${(error as Error).message}`)
      }
    }
    try {
      const { url, metricsUrl } = parseRestored(text)
      return {
        addresses: { coreUrl: url, metricsUrl },
        backups: [{ database: 'core', id: snapshot.id, endedAt: snapshot.at, bytes: snapshot.bytes }],
        recoveredTo: snapshot.at,
        shortfall: undefined,
        [Symbol.asyncDispose]: remove,
      }
    } catch (error) {
      await remove()
      throw error
    }
  }
}

function say(target: RestoreTarget): string {
  switch (target.kind) {
    case 'time':
      return new Date(target.ms).toISOString()
    case 'lsn':
      return target.lsn
    case 'name':
      return target.name
    default:
      return target.kind
  }
}
