import { lstat, realpath, stat } from 'node:fs/promises'
import { dirname } from 'node:path'

import { NomalyError } from '../errors.ts'
import type { ServerAccount } from './server-account.ts'

export { firstBarrier, identityOf, permits, type ServerAccount } from './server-account.ts'

/** `nobody`, by number: initdb wants an account with a name, and every Linux has this one. */
const NOBODY = 65534

/**
 * The account the server runs as. Root hands over to whoever owns one of `paths` (the first that exists and is not root's),
 * so that a folder once used by root still serves its owner, and else to `nobody`.
 */
export async function chooseAccount(paths: readonly string[]): Promise<ServerAccount> {
  const uid = process.getuid?.()
  const gid = process.getgid?.()
  if (uid === undefined || gid === undefined) {
    throw new NomalyError('unavailable', 'The embedded PostgreSQL server runs on Linux and macOS only.', {
      hint: 'Start inside WSL, or set DATABASE_URL to a PostgreSQL server, version 15 or newer.',
    })
  }
  if (uid !== 0) return { uid, gid, switched: false }
  if (process.platform !== 'linux') {
    throw new NomalyError('unavailable', 'The embedded PostgreSQL server does not run as root here.', {
      hint: 'Start as an ordinary user, or set DATABASE_URL to a PostgreSQL server, version 15 or newer.',
    })
  }
  for (const path of paths) {
    const owner = await stat(path).catch(() => undefined)
    if (owner !== undefined && owner.uid !== 0) return { uid: owner.uid, gid: owner.gid, switched: true }
  }
  return { uid: NOBODY, gid: NOBODY, switched: true }
}

/**
 * Whether only this user and root can put something at `path`: it is a real folder of theirs that nobody else can write,
 * and nobody else can swap it for another. A folder under a world-writable `/tmp` that a stranger made first is not.
 */
export async function isTrusted(path: string): Promise<boolean> {
  const own = process.getuid?.()
  try {
    const entry = await lstat(path)
    if (!entry.isDirectory() || entry.uid !== own || (entry.mode & 0o022) !== 0) return false
    for (let folder = dirname(await realpath(path)); ; folder = dirname(folder)) {
      const parent = await stat(folder)
      const sticky = (parent.mode & 0o1000) !== 0
      if (parent.uid !== own && parent.uid !== 0) return false
      if ((parent.mode & 0o022) !== 0 && !sticky) return false
      if (folder === dirname(folder)) return true
    }
  } catch {
    return false
  }
}
