import { type Dirent, closeSync, openSync, readdirSync, readSync, statSync } from 'node:fs'
import { basename, dirname, join, relative } from 'node:path'
import { openJsonStore, readJsonFile } from './open-json.ts'
import { isSqlite, openSqlite } from './open-sqlite.ts'
import type { SourceStore, SourceTable } from './source.ts'
import { explainSourceError, unreadable } from './source-errors.ts'

const MAX_DEPTH = 4
const MAX_FILES = 2_000
const SKIPPED_FOLDERS = new Set(['node_modules', '.git', '__pycache__', '.venv', 'venv'])
const HINT = 'Name the database, the `storage` folder or the training_jobs.db of an installation of Pynomaly.'

/** Everything that a path leads to, open for reading. */
export interface FoundStores extends Disposable {
  readonly stores: readonly SourceStore[]
  /** Files that are none of Pynomaly's, and why. */
  readonly passedOver: readonly { readonly file: string; readonly reason: string }[]
}

/**
 * Opens what there is of Pynomaly at a path: one file, or all in a folder. Databases come before JSON stores, which may speak of their rows.
 * @throws NomalyError where there is nothing, or something that cannot be read whole.
 */
export async function findStores(path: string, signal?: AbortSignal): Promise<FoundStores> {
  const isFolder = isDirectory(path)
  const files = isFolder ? listFiles(path) : [path]
  const nameOf = (file: string): string => (isFolder ? relative(path, file) : basename(file))
  using opened = new DisposableStack()
  const stores: SourceStore[] = []
  const passedOver: { file: string; reason: string }[] = []
  const json = new Map<string, { path: string; table: SourceTable; hash: Buffer }[]>()
  for (const file of files) {
    signal?.throwIfAborted()
    const name = nameOf(file)
    const kind = kindOf(file, name)
    if (kind === 'empty' && isFolder) passedOver.push({ file: name, reason: 'is empty' })
    else if (kind === 'empty') throw unreadable(name, 'is empty', HINT)
    else if (kind === 'json') {
      const read = readJsonFile(file, name)
      if ('reason' in read && !isFolder) throw unreadable(name, read.reason, HINT)
      if ('reason' in read) {
        // A store that was cut off must not look like something else that is none of ours.
        if (/^(?:datasets|detectors|results)\.json$/.test(basename(file)))
          throw unreadable(name, read.reason, HINT)
        passedOver.push({ file: name, reason: read.reason })
      } else json.set(dirname(file), [...(json.get(dirname(file)) ?? []), { path: file, ...read }])
    } else if (kind === 'sqlite') {
      try {
        stores.push(opened.use(await openSqlite(file, name, signal)))
      } catch (error) {
        if (!isFolder || !isForeign(error)) throw error
        passedOver.push({ file: name, reason: reasonOf(error, name) })
      }
    } else if (isFolder) passedOver.push({ file: name, reason: 'is neither SQLite nor JSON' })
    else throw unreadable(name, 'is neither an SQLite database nor a JSON store of Pynomaly', HINT)
  }
  for (const [folder, members] of json) stores.push(openJsonStore(nameOf(folder) || '.', members, []))
  if (stores.length === 0) throw unreadable(path, 'holds nothing of Pynomaly', HINT)
  const disposables = opened.move()
  return { stores, passedOver, [Symbol.dispose]: () => disposables.dispose() }
}

function isForeign(error: unknown): error is Error {
  return error instanceof Error && /holds no table of Pynomaly|has no tables/.test(error.message)
}

function reasonOf(error: Error, name: string): string {
  return error.message
    .slice(name.length + 1)
    .replace(' Nothing was changed.', '')
    .replace(/\.$/, '')
}

function isDirectory(path: string): boolean {
  try {
    return statSync(path).isDirectory()
  } catch (error) {
    throw explainSourceError(error, path)
  }
}

function listFiles(root: string): string[] {
  const files: string[] = []
  const walk = (folder: string, depth: number): void => {
    let entries: Dirent[]
    try {
      entries = readdirSync(folder, { withFileTypes: true })
    } catch (error) {
      throw explainSourceError(error, folder)
    }
    for (const entry of entries.toSorted((a, b) => (a.name < b.name ? -1 : 1))) {
      const path = join(folder, entry.name)
      if (entry.isDirectory() && depth < MAX_DEPTH && !SKIPPED_FOLDERS.has(entry.name)) walk(path, depth + 1)
      // What stands beside a database belongs to it.
      else if (entry.isFile() && !/-(?:wal|shm|journal)$/.test(entry.name)) files.push(path)
      if (files.length > MAX_FILES)
        throw unreadable(root, `holds more than ${MAX_FILES} files`, 'Name the folder of Pynomaly itself.')
    }
  }
  walk(root, 1)
  return files
}

function kindOf(path: string, name: string): 'sqlite' | 'json' | 'empty' | 'other' {
  const header = Buffer.alloc(512)
  let length: number
  try {
    const file = openSync(path, 'r')
    try {
      length = readSync(file, header, 0, header.length, 0)
    } finally {
      closeSync(file)
    }
  } catch (error) {
    throw explainSourceError(error, name)
  }
  if (length === 0) return 'empty'
  if (isSqlite(header)) return 'sqlite'
  return /^\uFEFF?\s*[{[]/.test(header.subarray(0, length).toString('utf8')) ? 'json' : 'other'
}
