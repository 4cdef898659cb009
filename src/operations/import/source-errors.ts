import { NomalyError } from '../../errors.ts'

const SQLITE_BUSY = 5
const SQLITE_CORRUPT = 11
const SQLITE_NOTADB = 26

/** A source that cannot be read: says why, and that nothing was changed. */
export function unreadable(name: string, why: string, hint: string, cause?: unknown): NomalyError {
  return new NomalyError('invalid_input', `${name} ${why}. Nothing was changed.`, {
    hint,
    ...(cause === undefined ? {} : { cause }),
  })
}

export function changedMeanwhile(name: string): NomalyError {
  return new NomalyError('conflict', `${name} was changed while it was being read.`, {
    hint: 'Stop what writes to it, and import it again: what was imported already is not imported twice.',
  })
}

export function damaged(name: string, detail: string, cause?: unknown): NomalyError {
  return unreadable(
    name,
    `is damaged (${detail})`,
    `Save what can be read with \`sqlite3 FILE .recover | sqlite3 rescued.db\`, and import rescued.db.`,
    cause,
  )
}

/** Says in the user's words what SQLite or the file system said; other errors stay as they are. */
export function explainSourceError(error: unknown, name: string): unknown {
  const { errcode, code } = error as { errcode?: number; code?: string }
  if (code === 'ENOENT')
    return unreadable(name, 'does not exist', 'Check the path of the file or folder.', error)
  if (code === 'EACCES' || code === 'EPERM')
    return unreadable(
      name,
      'cannot be read: permission is denied',
      'Run this as a user who may read it.',
      error,
    )
  if (code === 'ENOSPC')
    return unreadable(
      name,
      'is in use by a log beside it and has to be copied first, and there is no space for the copy',
      'Free some space, or name another folder for temporary files in TMPDIR.',
      error,
    )
  if (code !== 'ERR_SQLITE_ERROR' || errcode === undefined) return error
  // The lower byte is the kind, whatever stands above (SQLite, Result and Error Codes).
  switch (errcode & 0xff) {
    case SQLITE_BUSY:
      return new NomalyError('conflict', `${name} is locked by another process. Nothing was changed.`, {
        hint: 'Stop Pynomaly, or whatever else writes to it, and try again.',
        cause: error,
      })
    case SQLITE_CORRUPT:
      return damaged(name, (error as Error).message, error)
    case SQLITE_NOTADB:
      return unreadable(name, 'is no SQLite database, or an encrypted one', 'Name a file of Pynomaly.', error)
    default:
      return unreadable(
        name,
        `cannot be read by SQLite: ${(error as Error).message}`,
        'Check the file with `sqlite3 FILE "pragma integrity_check"`.',
        error,
      )
  }
}
