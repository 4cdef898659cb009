import { NomalyError } from '../../../errors.ts'

/** A snapshot that a provider has made. */
export interface Snapshot {
  readonly id: string
  readonly at: Date
  readonly bytes: number | undefined
}

/** What a provider has. */
export interface SnapshotList {
  /** Oldest first. */
  readonly snapshots: readonly Snapshot[]
  /** Any moment between these two can be restored, where it offers that. */
  readonly recoverableFrom: Date | undefined
  readonly recoverableUntil: Date | undefined
}

const MOST = 10_000

/**
 * Reads what the command of NOMALY_SNAPSHOT_COMMAND has printed.
 * @throws NomalyError `unavailable` that says what is wrong with it.
 */
export function parseSnapshots(text: string): SnapshotList {
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch (cause) {
    throw wrong('it is no JSON', cause)
  }
  if (typeof value !== 'object' || value === null) throw wrong('it is no object')
  const { snapshots, recoverableFrom, recoverableUntil } = value as Record<string, unknown>
  if (!Array.isArray(snapshots)) throw wrong('"snapshots" is no list')
  if (snapshots.length > MOST) throw wrong(`it lists more than ${MOST} snapshots`)
  return {
    snapshots: snapshots
      .map((one: unknown, at) => readSnapshot(one, `snapshots[${at}]`))
      .toSorted((a, b) => a.at.getTime() - b.at.getTime()),
    recoverableFrom: readTime(recoverableFrom, 'recoverableFrom'),
    recoverableUntil: readTime(recoverableUntil, 'recoverableUntil'),
  }
}

/** Reads what the command of NOMALY_SNAPSHOT_RESTORE_COMMAND has printed: an address. @throws NomalyError `unavailable`. */
export function parseRestored(text: string): {
  readonly url: string
  readonly metricsUrl: string | undefined
} {
  const isUrl = (url: unknown): url is string => typeof url === 'string' && /^postgres(?:ql)?:\/\//.test(url)
  try {
    const { url, metricsUrl } = JSON.parse(text) as Record<string, unknown>
    if (isUrl(url) && (metricsUrl === undefined || isUrl(metricsUrl))) return { url, metricsUrl }
  } catch {
    // Said below. What it printed may hold a password.
  }
  throw new NomalyError('unavailable', 'NOMALY_SNAPSHOT_RESTORE_COMMAND has printed no address.', {
    hint: 'It prints {"url": "postgresql://…"}, and {"metricsUrl": …} beside it where the metrics are in a database of their own.',
  })
}

function readSnapshot(one: unknown, place: string): Snapshot {
  const { id, at, bytes } = (one ?? {}) as Record<string, unknown>
  if (typeof id !== 'string' || id === '' || id.length > 500) throw wrong(`${place}.id is no text`)
  const time = readTime(at, `${place}.at`)
  if (time === undefined) throw wrong(`${place}.at is missing`)
  if (bytes !== undefined && bytes !== null && (typeof bytes !== 'number' || !(bytes >= 0)))
    throw wrong(`${place}.bytes is no number`)
  return { id, at: time, bytes: typeof bytes === 'number' ? bytes : undefined }
}

function readTime(value: unknown, place: string): Date | undefined {
  if (value === undefined || value === null) return undefined
  // Without a zone it would be taken for this machine's.
  const time = typeof value === 'string' && /(?:Z|[+-]\d\d:?\d\d)$/.test(value) ? new Date(value) : undefined
  if (time === undefined || Number.isNaN(time.getTime()))
    throw wrong(`${place} is no time in ISO 8601 with its zone`)
  return time
}

function wrong(what: string, cause?: unknown): NomalyError {
  return new NomalyError('unavailable', `What NOMALY_SNAPSHOT_COMMAND prints cannot be read: ${what}.`, {
    hint: 'It prints {"snapshots": [{"id": "…", "at": "2026-11-20T04:00:00Z", "bytes": 1}]}; see the guide on the restore drill.',
    ...(cause === undefined ? {} : { cause }),
  })
}
