import { randomBytes } from 'node:crypto'
import { existsSync } from 'node:fs'
import {
  chmod,
  chown,
  link,
  mkdir,
  open,
  readdir,
  readFile,
  realpath,
  rename,
  rm,
  stat,
} from 'node:fs/promises'
import { dirname, join, resolve } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'

import { NomalyError } from '../errors.ts'
import { processMark } from './server-processes.ts'
import { holdLock, isLocked } from './folder-lock.ts'

/** The process that has a data folder open. */
export interface FolderOwner {
  readonly pid: number
  /** When it opened the folder, ISO 8601. */
  readonly startedAt: string
  /** What it is, such as `start`. */
  readonly role: string
  readonly port?: number
  readonly url?: string
}

/** What {@link readFolderOwner} finds. */
export interface ObservedOwner extends FolderOwner {
  /** Whether some process still has the folder open. */
  readonly alive: boolean
  /** Whether `pid` is, here and now, that very process: only then may it be signalled. False from another container. */
  readonly signalable: boolean
}

/** An open data folder: no other process has it until it is disposed of or this process ends. */
export interface DataFolder extends AsyncDisposable {
  /** Its real path. */
  readonly path: string
  /** A secret of 32 random bytes (base64url), made at first use, in a file only its owner can read. */
  secret(name: string): Promise<string>
  /** Adds to what others are told about the owner. */
  recordOwner(fields: Partial<Omit<FolderOwner, 'pid' | 'startedAt'>>): Promise<void>
}

// What a fresh volume or an editor may have left in a folder that is otherwise empty.
const HARMLESS = new Set(['lost+found', '.DS_Store', '.gitignore', '.gitkeep'])

/**
 * Opens the data folder, made when missing, for this process alone. Fails with `conflict`, naming process and address,
 * while another process has it open.
 */
export async function openDataFolder(
  path: string,
  owner: Omit<FolderOwner, 'pid' | 'startedAt'>,
): Promise<DataFolder> {
  const folder = await prepareFolder(resolve(path))
  const lock = holdLock(join(folder, 'lock'))
  if (lock === undefined) throw await inUse(folder)
  try {
    await chmod(join(folder, 'lock'), 0o600)
    await adopt(folder, join(folder, 'lock'))
    if (!existsSync(join(folder, '.gitignore'))) await writePrivateFile(join(folder, '.gitignore'), '*\n')
    let record = {
      ...owner,
      pid: process.pid,
      startedAt: new Date().toISOString(),
      mark: await processMark(process.pid),
    }
    const write = () => writePrivateFile(join(folder, 'owner.json'), `${JSON.stringify(record)}\n`)
    await write()
    return {
      path: folder,
      secret: (name) => secret(folder, name),
      async recordOwner(fields) {
        record = { ...record, ...fields }
        await write()
      },
      async [Symbol.asyncDispose]() {
        if (!lock.held) return
        await rm(join(folder, 'owner.json'), { force: true })
        lock.release()
      },
    }
  } catch (error) {
    lock.release()
    throw explainFileError(error, folder)
  }
}

/** Who opened the data folder last, and whether it still has it open; `undefined` when nobody did or it was closed in order. */
export async function readFolderOwner(path: string): Promise<ObservedOwner | undefined> {
  try {
    const record = JSON.parse(await readFile(join(path, 'owner.json'), 'utf8')) as FolderOwner & {
      mark?: string
    }
    const { mark, ...owner } = record
    const alive = isLocked(join(path, 'lock'))
    return {
      ...owner,
      alive,
      signalable: alive && mark !== undefined && (await processMark(owner.pid)) === mark,
    }
  } catch (error) {
    if (['ENOENT', 'ENOTDIR'].includes((error as NodeJS.ErrnoException).code ?? '')) return undefined
    throw explainFileError(error, path)
  }
}

async function inUse(folder: string): Promise<NomalyError> {
  // The winner of a race writes its name a moment after it has won.
  let owner: ObservedOwner | undefined
  for (let tries = 0; tries < 20 && owner?.signalable !== true; tries++) {
    if (tries > 0) await sleep(25)
    owner = await readFolderOwner(folder).catch(() => undefined)
  }
  const who =
    owner === undefined ? 'another process' : `process ${owner.pid} (${owner.role}, since ${owner.startedAt})`
  const where = owner?.url === undefined ? '' : ` at ${owner.url}`
  return new NomalyError('conflict', `The data folder ${folder} is in use by ${who}${where}.`, {
    hint: 'Use the one that runs, stop it with `nomaly stop`, or choose another folder with NOMALY_DATA_DIR.',
  })
}

async function prepareFolder(path: string): Promise<string> {
  try {
    // Root's server runs under another user, who has to pass through (but not look around).
    await mkdir(path, { recursive: true, mode: process.getuid?.() === 0 ? 0o711 : 0o700 })
    const names = await readdir(path)
    const strangers = names.filter((name) => !HARMLESS.has(name))
    if (strangers.length > 0 && !names.includes('lock')) {
      throw new NomalyError(
        'conflict',
        `The folder ${path} already holds other things, such as "${strangers[0]}".`,
        {
          hint: 'Choose an empty or a new folder with NOMALY_DATA_DIR.',
        },
      )
    }
    const { mode } = await stat(path)
    if ((mode & 0o066) !== 0) await chmod(path, mode & 0o711)
    return await realpath(path)
  } catch (error) {
    throw explainFileError(error, path)
  }
}

/** As {@link DataFolder.secret}, whoever has the folder open: of two first uses at once, both get the same. */
export async function secret(folder: string, name: string): Promise<string> {
  if (!/^[a-z][a-z0-9-]*$/.test(name)) throw new NomalyError('internal', `"${name}" is no name for a secret.`)
  const path = join(folder, 'secrets', name)
  try {
    await mkdir(dirname(path), { recursive: true, mode: 0o700 })
    await adopt(folder, dirname(path))
    const existing = await readFile(path, 'utf8').catch((error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOENT') return ''
      throw error
    })
    if (existing.trim() !== '') return existing.trim()
    const made = randomBytes(32).toString('base64url')
    const draft = `${path}.${randomBytes(6).toString('hex')}`
    await writeDurably(draft, `${made}\n`)
    await adopt(folder, draft)
    // A link never replaces: of two first uses at once, both get the secret of the one that came first.
    try {
      await link(draft, path)
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error
    } finally {
      await rm(draft, { force: true })
    }
    await syncFolder(dirname(path))
    return (await readFile(path, 'utf8')).trim()
  } catch (error) {
    throw explainFileError(error, path)
  }
}

/** Replaces a file of the data folder in one step; only the folder's owner can read it. */
export async function writePrivateFile(path: string, text: string): Promise<void> {
  const draft = `${path}.${randomBytes(6).toString('hex')}`
  try {
    await writeDurably(draft, text)
    await adopt(dirname(path), draft)
    await rename(draft, path)
    await syncFolder(dirname(path))
  } catch (error) {
    await rm(draft, { force: true })
    throw explainFileError(error, path)
  }
}

async function writeDurably(path: string, text: string): Promise<void> {
  const file = await open(path, 'wx', 0o600)
  try {
    await file.writeFile(text)
    await file.sync()
  } finally {
    await file.close()
  }
}

/** Makes a rename or a new file in `path` survive a loss of power. */
export async function syncFolder(path: string): Promise<void> {
  const folder = await open(path, 'r')
  try {
    await folder.sync()
  } finally {
    await folder.close()
  }
}

// What root makes in somebody's folder belongs to that somebody, or their next start would fail on it.
export async function adopt(folder: string, path: string): Promise<void> {
  if (process.getuid?.() !== 0) return
  const { uid, gid } = await stat(folder)
  if (uid !== 0) await chown(path, uid, gid)
}

const FILE_HINTS: Readonly<Record<string, readonly [string, string]>> = {
  ENOSPC: [
    'there is no space left',
    'Free some space on that disk, or choose a folder elsewhere with NOMALY_DATA_DIR.',
  ],
  EDQUOT: [
    'the disk quota is used up',
    'Free some space, or choose a folder elsewhere with NOMALY_DATA_DIR.',
  ],
  EACCES: [
    'permission is denied',
    'Start as the user the folder belongs to, or choose a folder of your own with NOMALY_DATA_DIR.',
  ],
  EPERM: [
    'permission is denied',
    'Start as the user the folder belongs to, or choose a folder of your own with NOMALY_DATA_DIR.',
  ],
  EROFS: ['the file system is read-only', 'Choose a folder on a writable disk with NOMALY_DATA_DIR.'],
  ENOTDIR: ['part of the path is a file', 'Choose a folder with NOMALY_DATA_DIR.'],
  EEXIST: ['a file of that name is in the way', 'Choose a folder with NOMALY_DATA_DIR.'],
  ENAMETOOLONG: ['the path is too long', 'Choose a shorter path with NOMALY_DATA_DIR.'],
}

/** Turns an error of the file system that a user can mend into a `NomalyError` that says how; any other error stays as it is. */
export function explainFileError(error: unknown, path: string): unknown {
  const known = FILE_HINTS[(error as NodeJS.ErrnoException).code ?? '']
  if (error instanceof NomalyError || known === undefined) return error
  return new NomalyError('unavailable', `${path} cannot be used: ${known[0]}.`, {
    hint: known[1],
    cause: error,
  })
}
