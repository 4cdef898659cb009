import { constants } from 'node:fs'
import { open, readdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { ARCHIVE_FOLDER } from '../../database/log-archive.ts'
import type { BackupKey } from './backup-key.ts'
import { openPiece, sealPiece } from './sealed-piece.ts'
import type { BackupTarget } from './target/backup-target.ts'
import { SEGMENT_NAME, startOf } from './wal-segment.ts'

/** Below which all log is. */
export const LOG = 'wal/'

const MAX_SEGMENT_BYTES = 1_073_741_824

/** A segment of the write-ahead log that can be had. */
export interface LogSegment {
  readonly segment: string
  /** When the server finished it, epoch milliseconds; infinite for one that is still being written. */
  readonly finishedMs: number
  /** Its name in the target; `undefined` for one that is only on this machine. */
  readonly stored: string | undefined
  /** @throws Unreadable where it is not what was written. */
  read(signal: AbortSignal): Promise<Buffer>
}

/** The segments of a run of log that are stored, in order. */
export async function listStoredLog(
  target: BackupTarget,
  key: BackupKey | undefined,
  lineage: string,
  signal: AbortSignal,
): Promise<LogSegment[]> {
  const prefix = `${LOG}${lineage}/`
  const found = new Map<string, LogSegment>()
  for (const { name } of await target.list(prefix, signal)) {
    const [segment, finished] = name.slice(prefix.length).split('-')
    if (!SEGMENT_NAME.test(segment!) || !/^\d+$/.test(finished ?? '')) continue
    found.set(segment!, {
      segment: segment!,
      finishedMs: Number(finished),
      stored: name,
      read: async (until) => {
        const sealed = await target.get(name, until)
        if (sealed === undefined || key === undefined) throw new Error(`${name} is gone.`)
        return openPiece(key.derive(LOG), `${lineage} ${segment}`, sealed, MAX_SEGMENT_BYTES)
      },
    })
  }
  return [...found.values()]
}

/**
 * Stores the segments that the server of a data directory has finished, oldest first, and lets go of them. Where two do so at the same time,
 * both write the same.
 * @returns how many that were.
 */
export async function storeFinishedLog(
  target: BackupTarget,
  key: BackupKey,
  directory: string,
  lineage: string,
  signal: AbortSignal,
): Promise<number> {
  const folder = join(directory, ARCHIVE_FOLDER)
  let stored = 0
  for (const name of (await readdir(folder)).toSorted()) {
    signal.throwIfAborted()
    // Histories and labels say nothing that the record of a backup does not.
    if (/^[0-9A-F]{8}\.history$|^[0-9A-F]{24}\.[0-9A-F]{8}\.backup$|\.partial$/.test(name))
      await rm(join(folder, name), { force: true })
    if (!SEGMENT_NAME.test(name)) continue
    const file = await readWhole(join(folder, name))
    // Another process was quicker.
    if (file === undefined) continue
    const sealed = await sealPiece(key.derive(LOG), `${lineage} ${name}`, file.body)
    await target.put(`${LOG}${lineage}/${name}-${Math.floor(file.modifiedMs)}`, sealed, signal)
    await rm(join(folder, name), { force: true })
    stored++
  }
  return stored
}

/** Bytes of finished log that wait to be stored. */
export async function waitingLogBytes(directory: string): Promise<number> {
  const folder = join(directory, ARCHIVE_FOLDER)
  let bytes = 0
  for (const name of await readdir(folder).catch(() => []))
    if (SEGMENT_NAME.test(name)) bytes += (await readSize(join(folder, name))) ?? 0
  return bytes
}

/** Lets go of log that was not stored, for want of room: what follows on it can be restored only from the next backup on. */
export async function dropWaitingLog(directory: string): Promise<void> {
  const folder = join(directory, ARCHIVE_FOLDER)
  for (const name of await readdir(folder))
    if (SEGMENT_NAME.test(name)) await rm(join(folder, name), { force: true })
}

/** The log that a cluster still has itself, in order: finished, or being written as its server ended. */
export async function listLocalLog(directory: string, segmentBytes: number): Promise<LogSegment[]> {
  const found = new Map<string, LogSegment>()
  for (const folder of ['pg_wal', ARCHIVE_FOLDER])
    for (const name of await readdir(join(directory, folder)).catch(() => [])) {
      const path = join(directory, folder, name)
      if (!SEGMENT_NAME.test(name) || !(await isBegun(path, name, segmentBytes))) continue
      found.set(name, {
        segment: name,
        finishedMs: Number.POSITIVE_INFINITY,
        stored: undefined,
        read: async () => {
          const file = await readWhole(path)
          if (file === undefined) throw new Error(`${path} is gone.`)
          return file.body
        },
      })
    }
  return [...found.values()].toSorted((a, b) => (a.segment < b.segment ? -1 : 1))
}

/** A file under the name of a later segment that is kept to be written again says in its first page whose it was. */
async function isBegun(path: string, name: string, segmentBytes: number): Promise<boolean> {
  const file = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW).catch(() => undefined)
  if (file === undefined) return false
  try {
    const head = Buffer.alloc(16)
    const { bytesRead } = await file.read(head, 0, 16, 0)
    return bytesRead === 16 && head.readBigUInt64LE(8) === startOf(name, segmentBytes)
  } finally {
    await file.close()
  }
}

async function readWhole(path: string): Promise<{ body: Buffer; modifiedMs: number } | undefined> {
  // No link is followed: the account of the server owns the folder, and root, which may read here, does not trust it.
  const file = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW).catch(missing)
  if (file === undefined) return undefined
  try {
    return { body: await file.readFile(), modifiedMs: (await file.stat()).mtimeMs }
  } finally {
    await file.close()
  }
}

async function readSize(path: string): Promise<number | undefined> {
  const file = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW).catch(missing)
  if (file === undefined) return undefined
  try {
    return (await file.stat()).size
  } finally {
    await file.close()
  }
}

function missing(error: NodeJS.ErrnoException): undefined {
  if (error.code === 'ENOENT') return undefined
  throw error
}
