import { NomalyError } from '../../../errors.ts'
import type { Backup } from '../backup-engine.ts'

/** What `pgbackrest info --output=json` answers of a stanza, as far as it is read here. */
interface StanzaInfo {
  readonly name: string
  readonly status: { readonly code: number; readonly message: string }
  readonly backup: readonly {
    readonly label: string
    readonly type: 'full' | 'diff' | 'incr'
    readonly error: boolean | null
    readonly reference: readonly string[] | null
    readonly timestamp: { readonly start: number; readonly stop: number }
    readonly lsn: { readonly start: string; readonly stop: string }
    readonly archive: { readonly start: string; readonly stop: string }
    readonly database: { readonly id: number }
    readonly info: { readonly size: number; readonly repository: { readonly delta: number } }
  }[]
  readonly repo?: readonly { readonly status: { readonly message: string } }[]
  readonly archive: readonly {
    readonly id: string
    readonly max: string | null
    readonly database: { readonly id: number }
  }[]
  readonly db: readonly { readonly id: number; readonly version: string; readonly 'system-id': number }[]
}

/** What a repository has of a stanza. */
export interface StanzaState {
  /** Whether there is such a stanza at all. */
  readonly exists: boolean
  readonly backups: readonly Backup[]
  /** The newest segment of log that is stored, without a look at whether all before it are; `undefined` where there is none. */
  readonly newestSegment: string | undefined
}

/** Reads the answer of `pgbackrest info --output=json`. */
export function parseInfo(text: string, stanza: string): StanzaState {
  let infos: StanzaInfo[]
  try {
    // Numbers of sixteen digits and more would be rounded.
    const quoted = text.replaceAll(/("system-id":)(\d+)/g, '$1"$2"')
    // What it says of errors has line breaks and what it could not decrypt in it, which JSON does not allow.
    infos = JSON.parse(quoted.replaceAll(/\p{Cc}+/gu, ' ')) as StanzaInfo[]
  } catch (cause) {
    throw new NomalyError('unavailable', 'pgBackRest answers something that is no JSON.', {
      hint: 'Version 2.45 or newer is needed.',
      cause,
    })
  }
  const info = infos.find(({ name }) => name === stanza)
  if (info === undefined) return { exists: false, backups: [], newestSegment: undefined }
  if (info.status.code > 3)
    throw new NomalyError('unavailable', `pgBackRest cannot read the repository: ${problemOf(info)}`, {
      hint: 'Is the key the one that it was encrypted with, and does the repository answer?',
    })
  // Its own codes: 1 is a missing stanza path, 2 no valid backups.
  return {
    exists: info.status.code === 0 || info.status.code === 2,
    backups: info.backup.filter(({ error }) => error !== true).map((one) => toBackup(one, info.db)),
    newestSegment: info.archive.at(-1)?.max ?? undefined,
  }
}

function problemOf({ status, repo }: StanzaInfo): string {
  const said = repo?.map((one) => one.status.message).join('; ') ?? status.message
  return said.replaceAll(/\s+/g, ' ').slice(0, 500)
}

function toBackup(one: StanzaInfo['backup'][number], databases: StanzaInfo['db']): Backup {
  const database = databases.find(({ id }) => id === one.database.id)
  return {
    id: one.label,
    kind: one.type === 'full' ? 'full' : 'differential',
    baseId: one.reference?.find((label) => label.endsWith('F')),
    startedAt: new Date(one.timestamp.start * 1000).toISOString(),
    // Whole seconds, and never before the real end: a target between would be refused.
    endedAt: new Date((one.timestamp.stop + 1) * 1000).toISOString(),
    endLsn: one.lsn.stop,
    timeline: Number.parseInt(one.archive.stop.slice(0, 8), 16),
    systemId: String(database?.['system-id'] ?? ''),
    postgresMajor: Number.parseInt(database?.version ?? '0', 10),
    databaseBytes: one.info.size,
    storedBytes: one.info.repository.delta,
    restorePoint: undefined,
  }
}
