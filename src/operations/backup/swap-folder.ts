import { existsSync } from 'node:fs'
import { lstat, mkdir, readFile, realpath, rename, rm, rmdir, stat } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { type DataFolder, openDataFolder, syncFolder, writePrivateFile } from '../../database/data-folder.ts'
import { findServerProcesses } from '../../database/server-processes.ts'
import { NomalyError } from '../../errors.ts'

/** In the data folder: which database came from where, and where the one before it is. */
const NOTE = 'swapped.json'

const DATABASE = 'postgres'

/** A swap that was made, or was being made. */
export interface Swap {
  /** The data folder that the database came from. */
  readonly from: string
  /** Where the former database is, in this data folder; `undefined` where there was none. */
  readonly former: string | undefined
  /** ISO 8601. */
  readonly at: string
}

/**
 * Puts a restored database in the place of the one of the data folder, which is kept. Interrupted at any moment, the same call again finishes it.
 * @throws NomalyError `conflict` where one of the two folders is in use.
 */
export async function swapFolder(dataDirectory: string, from: string, at: Date): Promise<Swap> {
  await using folder = await openDataFolder(dataDirectory, { role: 'backup swap' })
  await using restored = await openRestored(from, folder)
  const here = join(folder.path, DATABASE)
  const there = join(restored.path, DATABASE)
  const begun = await readSwap(folder.path)
  if (!(await exists(there))) {
    if (begun?.from === restored.path && (await exists(here))) return begun
    throw new NomalyError('not_found', `There is no database in ${restored.path}.`, {
      hint: 'Name the folder that `nomaly backup restore` printed.',
    })
  }
  const isDone =
    (await exists(here)) && (begun?.former === undefined || (await exists(join(begun.former, DATABASE))))
  await requireUnused([here, there])
  const swap: Swap =
    begun?.from === restored.path && !isDone
      ? begun
      : {
          from: restored.path,
          former: (await exists(here))
            ? join(folder.path, 'former', at.toISOString().replaceAll(/[:.]/g, '-'))
            : undefined,
          at: at.toISOString(),
        }
  await writePrivateFile(join(folder.path, NOTE), `${JSON.stringify(swap)}\n`)
  if (swap.former !== undefined) await move(here, join(swap.former, DATABASE))
  await move(there, here)
  return swap
}

/**
 * Takes the last swap back: the restored database goes to where it came from, and the former one returns.
 * @throws NomalyError `not_found` where there was none.
 */
export async function undoSwap(dataDirectory: string): Promise<Swap> {
  await using folder = await openDataFolder(dataDirectory, { role: 'backup swap' })
  const swap = await readSwap(folder.path)
  if (swap === undefined)
    throw new NomalyError('not_found', 'No database was swapped in this data folder.', {
      hint: 'There is nothing to take back.',
    })
  await using restored = await openRestored(swap.from, folder)
  const here = join(folder.path, DATABASE)
  const former = swap.former === undefined ? undefined : join(swap.former, DATABASE)
  const there = join(restored.path, DATABASE)
  await requireUnused([here, ...(former === undefined ? [] : [former])])
  // Where something was restored there again meanwhile, both are there too: the former one is what tells.
  const isBack =
    (await exists(there)) &&
    (former === undefined ? !(await exists(here)) : (await exists(here)) && !(await exists(former)))
  if (former !== undefined && !(await exists(former)) && !isBack)
    throw new NomalyError('not_found', `The former database is no longer in ${swap.former}.`, {
      hint: 'It was removed or moved. Restore a backup instead.',
    })
  if (!isBack) {
    await move(here, there)
    if (former !== undefined) await move(former, here)
  }
  // Never with what is in it: this is where the former database was.
  if (swap.former !== undefined) await rmdir(swap.former).catch(() => {})
  await rm(join(folder.path, NOTE), { force: true })
  return swap
}

/** What the last swap in a data folder was; `undefined` where there was none, or it was taken back. */
export async function readSwap(dataDirectory: string): Promise<Swap | undefined> {
  try {
    return JSON.parse(await readFile(join(dataDirectory, NOTE), 'utf8')) as Swap
  } catch {
    return undefined
  }
}

async function openRestored(path: string, folder: DataFolder): Promise<DataFolder> {
  const place = resolve(path)
  if (place === folder.path || !existsSync(join(place, 'lock')))
    throw new NomalyError('not_found', `${place} is no data folder that a backup was restored into.`, {
      hint: 'Name the folder that `nomaly backup restore` printed.',
    })
  return openDataFolder(place, { role: 'backup swap' })
}

/** Moves what is there, unless it has been moved already. */
async function move(from: string, to: string): Promise<void> {
  if (await exists(to)) {
    if (await exists(from))
      throw new NomalyError('conflict', `${to} and ${from} are both there.`, {
        hint: 'Move the one away that you do not need.',
      })
    return
  }
  if (!(await exists(from)))
    throw new NomalyError('not_found', `There is no database in ${from}.`, {
      hint: 'Name the folder that `nomaly backup restore` printed.',
    })
  await mkdir(join(to, '..'), { recursive: true, mode: (await stat(join(from, '..'))).mode & 0o777 })
  try {
    await rename(from, to)
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code !== 'EXDEV') throw cause
    throw new NomalyError('conflict', `${from} and ${to} are on different disks.`, {
      hint: 'Restore into a folder on the disk of the data folder: leave --into out.',
      cause,
    })
  }
  await syncFolder(join(to, '..'))
  await syncFolder(join(from, '..'))
}

/** A server that outlived its owner still writes. */
async function requireUnused(directories: readonly string[]): Promise<void> {
  for (const place of directories) {
    const directory = await realpath(place).catch(() => undefined)
    if (directory === undefined) continue
    const pids = await findServerProcesses(directory)
    if (pids.length > 0)
      throw new NomalyError('conflict', `PostgreSQL (process ${pids[0]}) runs on ${directory}.`, {
        hint: 'Start Nomaly and stop it with `nomaly stop`, which ends the database in order.',
      })
  }
}

/** Also of a link to a place elsewhere. */
async function exists(path: string): Promise<boolean> {
  return lstat(path).then(
    () => true,
    () => false,
  )
}
