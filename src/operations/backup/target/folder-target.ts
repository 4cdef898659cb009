import { randomBytes } from 'node:crypto'
import { mkdir, open, readdir, readFile, rename, rm, stat, statfs } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { syncFolder } from '../../../database/data-folder.ts'
import { NomalyError } from '../../../errors.ts'
import type { BackupTarget, StoredFile } from './backup-target.ts'

/** What a write that was interrupted leaves ends so, and is never listed. */
const DRAFT = '.part'

/** A draft that is older belongs to nobody. */
const DRAFT_LIFE_MS = 86_400_000

/** What a fresh disk has. */
const HARMLESS = new Set(['lost+found', '.DS_Store'])

/** Backups in a folder, of another disk or a mounted share. */
export class FolderTarget implements BackupTarget {
  readonly #root: string
  readonly #clock: () => number

  constructor(root: string, clock: () => number) {
    this.#root = root
    this.#clock = clock
  }

  get place(): string {
    return this.#root
  }

  async put(name: string, body: Buffer, signal: AbortSignal): Promise<void> {
    const path = join(this.#root, name)
    const draft = `${path}.${randomBytes(4).toString('hex')}${DRAFT}`
    try {
      await mkdir(dirname(path), { recursive: true, mode: 0o700 })
      signal.throwIfAborted()
      const file = await open(draft, 'wx', 0o600)
      try {
        await file.writeFile(body)
        await file.sync()
      } finally {
        await file.close()
      }
      await rename(draft, path)
      await syncFolder(dirname(path))
    } catch (error) {
      await rm(draft, { force: true }).catch(() => {})
      throw this.#explain(error)
    }
  }

  async get(name: string, signal: AbortSignal): Promise<Buffer | undefined> {
    try {
      return await readFile(join(this.#root, name), { signal })
    } catch (error) {
      if (isMissing(error)) return undefined
      throw this.#explain(error)
    }
  }

  async list(prefix: string, signal: AbortSignal): Promise<StoredFile[]> {
    const files: StoredFile[] = []
    const top = prefix.includes('/') ? prefix.slice(0, prefix.lastIndexOf('/')) : ''
    const walk = async (folder: string): Promise<void> => {
      signal.throwIfAborted()
      for (const entry of await readdir(join(this.#root, folder), { withFileTypes: true })) {
        const name = folder === '' ? entry.name : `${folder}/${entry.name}`
        if (entry.isDirectory()) await walk(name)
        else if (entry.name.endsWith(DRAFT)) await this.#removeOld(name)
        else if (entry.isFile() && name.startsWith(prefix)) {
          const found = await stat(join(this.#root, name)).catch(() => undefined)
          if (found !== undefined) files.push({ name, bytes: found.size })
        }
      }
    }
    try {
      await walk(top)
    } catch (error) {
      if (!isMissing(error)) throw this.#explain(error)
    }
    return files.toSorted((a, b) => (a.name < b.name ? -1 : 1))
  }

  async isEmpty(): Promise<boolean> {
    try {
      return (await readdir(this.#root)).every((name) => HARMLESS.has(name))
    } catch (error) {
      if (isMissing(error)) return true
      throw this.#explain(error)
    }
  }

  async remove(names: readonly string[], signal: AbortSignal): Promise<void> {
    const folders = new Set<string>()
    try {
      for (const name of names) {
        signal.throwIfAborted()
        await rm(join(this.#root, name), { force: true })
        folders.add(dirname(join(this.#root, name)))
      }
      // One that still holds something stays.
      for (const folder of folders)
        if (folder !== this.#root && (await readdir(folder).catch(() => ['unreadable'])).length === 0)
          await rm(folder, { recursive: true, force: true })
    } catch (error) {
      throw this.#explain(error)
    }
  }

  async freeBytes(): Promise<number | undefined> {
    // A folder that is not made yet will be on the disk of the first parent that is there.
    for (let folder = this.#root; ; folder = dirname(folder)) {
      const found = await statfs(folder).catch(() => undefined)
      if (found !== undefined) return found.bavail * found.bsize
      if (folder === dirname(folder)) return undefined
    }
  }

  async #removeOld(name: string): Promise<void> {
    const path = join(this.#root, name)
    const found = await stat(path).catch(() => undefined)
    if (found !== undefined && this.#clock() - found.mtimeMs > DRAFT_LIFE_MS) await rm(path, { force: true })
  }

  #explain(error: unknown): unknown {
    const known = REASONS[(error as NodeJS.ErrnoException).code ?? '']
    if (error instanceof NomalyError || known === undefined) return error
    return new NomalyError('unavailable', `Backups cannot be kept in ${this.#root}: ${known[0]}.`, {
      hint: known[1],
      cause: error,
    })
  }
}

const ELSEWHERE = 'or name another place with NOMALY_BACKUP_TARGET.'
const REASONS: Readonly<Record<string, readonly [string, string]>> = {
  ENOSPC: ['the disk is full', `Free some space there, ${ELSEWHERE}`],
  EDQUOT: ['the quota is used up', `Free some space there, ${ELSEWHERE}`],
  EFBIG: ['files there may not be that large', 'Name another place with NOMALY_BACKUP_TARGET.'],
  EACCES: ['permission is denied', `Let the user that runs Nomaly write there, ${ELSEWHERE}`],
  EPERM: ['permission is denied', `Let the user that runs Nomaly write there, ${ELSEWHERE}`],
  EROFS: ['the file system is read-only', `Mount it for writing, ${ELSEWHERE}`],
  ENOTDIR: ['part of the path is a file', 'Name a folder with NOMALY_BACKUP_TARGET.'],
  EIO: ['the disk reports errors', `Look at the disk, ${ELSEWHERE}`],
}

function isMissing(error: unknown): boolean {
  return (error as NodeJS.ErrnoException).code === 'ENOENT'
}
