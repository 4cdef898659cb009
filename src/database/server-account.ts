import { realpath, stat } from 'node:fs/promises'
import { dirname } from 'node:path'

/** The user PostgreSQL's processes run as. */
export interface ServerAccount {
  readonly uid: number
  readonly gid: number
  /** Whether that is another user than this process's own: true for root, as which PostgreSQL refuses to run. */
  readonly switched: boolean
}

/** What `spawn` needs to run a program as the account. */
export function identityOf(account: ServerAccount): { uid?: number; gid?: number } {
  return account.switched ? { uid: account.uid, gid: account.gid } : {}
}

/** The first of `folder` and its parents (links resolved) that `account` cannot pass through; `undefined` when it can. */
export async function firstBarrier(folder: string, account: ServerAccount): Promise<string | undefined> {
  for (let place = await realpath(folder); ; place = dirname(place)) {
    if (!(await permits(place, account, 0o1))) return place
    if (place === dirname(place)) return undefined
  }
}

/** Whether the permission bits (of `0o7`) are all granted to `account` on `path`. */
export async function permits(path: string, account: ServerAccount, bits: number): Promise<boolean> {
  const { uid, gid, mode } = await stat(path)
  const shift = uid === account.uid ? 6 : gid === account.gid ? 3 : 0
  return ((mode >> shift) & bits) === bits
}

/** The account that a file belongs to, as which root can run programs; `undefined` where there is no such file. */
export async function ownerOf(path: string): Promise<ServerAccount | undefined> {
  const owner = await stat(path).catch(() => undefined)
  return owner && { uid: owner.uid, gid: owner.gid, switched: process.getuid?.() === 0 && owner.uid !== 0 }
}
