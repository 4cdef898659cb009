import { existsSync } from 'node:fs'
import { DatabaseSync } from 'node:sqlite'

import { NomalyError } from '../errors.ts'

/** A file lock that the kernel takes back when this process ends, however it ends. */
export interface FileLock {
  readonly held: boolean
  release(): void
}

// Referenced from here so that no garbage collection closes, and thereby unlocks, a file that is still meant to be locked.
const heldLocks = new Set<DatabaseSync>()

/**
 * Locks a file for this process alone; `undefined` when another holder, in this or any other process, has it.
 * Node has no `flock`; SQLite takes POSIX record locks, which no crash, reused process id or second container can fool.
 */
export function holdLock(path: string): FileLock | undefined {
  const database = openLockFile(path)
  try {
    // Outlasts a mere look by `isLocked`.
    database.exec('pragma busy_timeout = 250; pragma journal_mode = off; begin exclusive')
  } catch (error) {
    database.close()
    if (isBusy(error)) return undefined
    throw unlockable(path, error)
  }
  heldLocks.add(database)
  return {
    get held() {
      return heldLocks.has(database)
    },
    release() {
      if (heldLocks.delete(database)) database.close()
    },
  }
}

/** Whether some process holds the lock. */
export function isLocked(path: string): boolean {
  if (!existsSync(path)) return false
  const database = openLockFile(path, true)
  try {
    database.exec('pragma busy_timeout = 0; select count(*) from sqlite_schema')
    return false
  } catch (error) {
    if (isBusy(error)) return true
    throw unlockable(path, error)
  } finally {
    database.close()
  }
}

function openLockFile(path: string, readOnly = false): DatabaseSync {
  try {
    return new DatabaseSync(path, { readOnly })
  } catch (error) {
    throw unlockable(path, error)
  }
}

const SQLITE_BUSY = 5

function isBusy(error: unknown): boolean {
  return (error as { errcode?: number }).errcode === SQLITE_BUSY
}

function unlockable(path: string, cause: unknown): NomalyError {
  return new NomalyError('unavailable', `${path} cannot be locked: ${(cause as Error).message}.`, {
    hint: 'Start as the user the data folder belongs to, and keep it on a local disk (NOMALY_DATA_DIR).',
    cause,
  })
}
