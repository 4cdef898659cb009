import { createHash } from 'node:crypto'
import { closeSync, createReadStream, openSync, readSync, type Stats, statSync } from 'node:fs'
import { copyFile, mkdtemp, rm, statfs } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync, type StatementSync } from 'node:sqlite'
import { recogniseTable } from './recognise-table.ts'
import type { Family, SourceRow, SourceStore, SourceTable, SourceValue, UnusedTable } from './source.ts'
import { changedMeanwhile, damaged, explainSourceError, unreadable } from './source-errors.ts'

const HEADER_BYTES = 100
const MAGIC = 'SQLite format 3\0'
/** Of the header: the version that readers must understand, 2 for a write-ahead log (SQLite, Database File Format, 1.3). */
const READ_VERSION_AT = 19
/** SQLite, Result and Error Codes. */
const READONLY_ROLLBACK = 776
const LOCK_TIMEOUT_MS = 2_000
const MAX_TABLES = 1_000
/** Whether a file begins as one of SQLite does. */
export function isSqlite(header: Uint8Array): boolean {
  return Buffer.from(header.subarray(0, MAGIC.length)).toString('latin1') === MAGIC
}

/**
 * Opens a file of SQLite for reading, whole and unchanged: a lock of readers is held until it is disposed of. A file with a log beside it is copied
 * with that and read from the copy, since even a reader would write to the log's index beside the original.
 * @param name what the file is called in messages.
 * @throws NomalyError that says what is wrong with it.
 */
export async function openSqlite(path: string, name: string, signal?: AbortSignal): Promise<SourceStore> {
  try {
    const before = statSync(path)
    if (before.size === 0) throw unreadable(name, 'is empty', 'Name the file that Pynomaly writes to.')
    const header = readHeader(path)
    if (!isSqlite(header))
      throw unreadable(name, 'is no SQLite database', 'Name a database or a JSON store of Pynomaly.')
    const logs = ['-wal', '-journal'].filter((ending) => sizeOf(path + ending) > 0)
    const isWal = header[READ_VERSION_AT] === 2 || sizeOf(`${path}-wal`) > 0
    const database = (isWal ? undefined : openInPlace(path)) ?? (await openCopy(path, name, logs))
    try {
      requireSound(database, name)
      const fingerprint = await hashFiles([path, ...logs.map((ending) => path + ending)], signal)
      return new SqliteStore(database, path, name, before, fingerprint)
    } catch (error) {
      database.close()
      throw error
    }
  } catch (error) {
    throw explainSourceError(error, name)
  }
}

function openDatabase(path: string): DatabaseSync {
  return new DatabaseSync(path, {
    readOnly: true,
    timeout: LOCK_TIMEOUT_MS,
    allowExtension: false,
    enableForeignKeyConstraints: false,
  })
}

/** Opens a file under a lock of readers; `undefined` where a crash has left a journal that has to be applied first. */
function openInPlace(path: string): DatabaseSync | undefined {
  const database = openDatabase(path)
  try {
    beginReading(database)
    return database
  } catch (error) {
    database.close()
    if ((error as { errcode?: number }).errcode === READONLY_ROLLBACK) return undefined
    throw error
  }
}

function beginReading(database: DatabaseSync): void {
  database.exec('begin')
  // Takes the lock, and is the first to notice that there is none to be had.
  database.prepare('select count(*) from sqlite_schema').get()
}

/** Copies file and logs, lets SQLite bring the copy to one file, and opens that; the copy has no name any more then. */
async function openCopy(path: string, name: string, logs: readonly string[]): Promise<DatabaseSync> {
  const files = [path, ...logs.map((ending) => path + ending)]
  const sizes = (): string =>
    files.map((file) => JSON.stringify([sizeOf(file), statSync(file).mtimeMs])).join(' ')
  const folder = await mkdtemp(join(tmpdir(), 'nomaly-import-'))
  try {
    const before = sizes()
    const { bavail, bsize } = await statfs(folder)
    if (files.reduce((sum, file) => sum + sizeOf(file), 0) * 2 > bavail * bsize)
      throw Object.assign(new Error('no space'), { code: 'ENOSPC' })
    const copy = join(folder, 'copy.db')
    await copyFile(path, copy)
    for (const ending of logs) await copyFile(path + ending, copy + ending)
    if (sizes() !== before) throw changedMeanwhile(name)
    const writable = new DatabaseSync(copy, { timeout: LOCK_TIMEOUT_MS })
    writable.exec('pragma wal_checkpoint(truncate); pragma journal_mode = delete')
    writable.close()
    const database = openDatabase(copy)
    // Opened lazily: the file must be at hand before its name goes.
    beginReading(database)
    return database
  } finally {
    await rm(folder, { recursive: true, force: true }).catch(() => {})
  }
}

function requireSound(database: DatabaseSync, name: string): void {
  const [row] = database.prepare('pragma quick_check(1)').all()
  const answer = String(Object.values(row ?? {})[0])
  if (answer !== 'ok') throw damaged(name, answer.replaceAll('\n', ' '))
}

class SqliteStore implements SourceStore {
  readonly name: string
  readonly family: Family
  readonly bytes: number
  readonly fingerprint: string
  readonly modifiedAt: Date
  readonly tables: readonly SourceTable[]
  readonly unused: readonly UnusedTable[]
  readonly #database: DatabaseSync
  readonly #path: string
  readonly #before: Stats

  constructor(database: DatabaseSync, path: string, name: string, before: Stats, fingerprint: string) {
    this.#database = database
    this.#path = path
    this.#before = before
    this.name = name
    this.bytes = before.size
    this.fingerprint = fingerprint
    this.modifiedAt = before.mtime
    const tables: SourceTable[] = []
    const unused: UnusedTable[] = []
    let knows = false
    for (const { table, columns } of listTables(database)) {
      const found = recogniseTable(table, new Set(columns.keys()))
      const count = Number(database.prepare(`select count(*) as n from ${quoted(table)}`).get()!['n'])
      if ('noun' in found) tables.push(new SqliteTable(database, name, table, found.noun, columns, count))
      else unused.push({ table, rows: count, reason: found.reason })
      knows ||= 'noun' in found || found.isKnown
    }
    this.tables = tables
    this.unused = unused
    if (!knows) {
      const seen = unused.map(({ table, reason }) => `${table} (${reason})`)
      throw unreadable(
        name,
        seen.length === 0
          ? 'has no tables'
          : `holds no table of Pynomaly: ${seen.slice(0, 5).join(', ')}${seen.length > 5 ? ', …' : ''}`,
        'Name the database, the `storage` folder or the training_jobs.db of an installation of Pynomaly.',
      )
    }
    const isB = tables.some(({ columns }) => columns.get('id') === 'UUID' || columns.has('algorithm_name'))
    this.family = tables.every(({ noun }) => noun === 'records') ? 'jobs' : isB ? 'B' : 'A'
  }

  requireUnchanged(): void {
    const now = statSync(this.#path)
    const { size, mtimeMs, ino } = this.#before
    if (now.size !== size || now.mtimeMs !== mtimeMs || now.ino !== ino) throw changedMeanwhile(this.name)
  }

  [Symbol.dispose](): void {
    this.#database.close()
  }
}

class SqliteTable implements SourceTable {
  readonly name: string
  readonly noun: SourceTable['noun']
  readonly columns: ReadonlyMap<string, string>
  readonly count: number
  readonly #database: DatabaseSync
  readonly #file: string

  constructor(
    database: DatabaseSync,
    file: string,
    name: string,
    noun: SourceTable['noun'],
    columns: ReadonlyMap<string, string>,
    count: number,
  ) {
    this.#database = database
    this.#file = file
    this.name = name
    this.noun = noun
    this.columns = columns
    this.count = count
  }

  *rows(after: bigint): Generator<SourceRow> {
    const names = [...this.columns.keys()]
    for (const [place, ...values] of this.select(names, after))
      yield {
        place: place as bigint,
        values: Object.fromEntries(names.map((column, at) => [column, values[at]!])),
      }
  }

  *select(columns: readonly string[], after: bigint): Generator<readonly SourceValue[]> {
    try {
      yield* this.#prepare(columns, '').iterate(after) as unknown as Iterable<readonly SourceValue[]>
    } catch (error) {
      throw explainSourceError(error, this.#file)
    }
  }

  *pages(
    columns: readonly string[],
    after: bigint,
    size: number,
  ): Generator<readonly (readonly SourceValue[])[]> {
    try {
      const statement = this.#prepare(columns, 'limit ?')
      for (let from = after; ;) {
        const rows = statement.all(from, size) as unknown as (readonly SourceValue[])[]
        if (rows.length > 0) yield rows
        if (rows.length < size) return
        from = rows.at(-1)![0] as bigint
      }
    } catch (error) {
      throw explainSourceError(error, this.#file)
    }
  }

  #prepare(columns: readonly string[], limit: string): StatementSync {
    const list = ['rowid', ...columns.map(quoted)].join(', ')
    const statement = this.#database.prepare(
      `select ${list} from ${quoted(this.name)} where rowid > ? order by rowid ${limit}`,
    )
    // Whole numbers beyond 2^53 would throw otherwise.
    statement.setReadBigInts(true)
    statement.setReturnArrays(true)
    return statement
  }

  distinct(column: string, limit: number, amongFirst?: number): SourceValue[] {
    try {
      const [selected, table] = [quoted(column), quoted(this.name)]
      const rows =
        amongFirst === undefined
          ? table
          : `(select ${selected} from ${table} order by rowid limit ${Math.round(amongFirst)})`
      const statement = this.#database.prepare(`select distinct ${selected} from ${rows} limit ?`)
      statement.setReadBigInts(true)
      statement.setReturnArrays(true)
      return (statement.all(limit) as unknown as SourceValue[][]).map(([value]) => value!)
    } catch (error) {
      throw explainSourceError(error, this.#file)
    }
  }
}

/** Tables with their columns and declared types; those without a rowid, which the original never makes, are left out by their missing columns. */
function listTables(database: DatabaseSync): { table: string; columns: Map<string, string> }[] {
  const rows = database
    .prepare(
      `select l.name as "table", c.name as "column", c.type as type from pragma_table_list l join pragma_table_info(l.name) c
       where l.schema = 'main' and l.type = 'table' and l.wr = 0 and l.name not like 'sqlite\\_%' escape '\\' order by l.name, c.cid limit ?`,
    )
    .all(MAX_TABLES * 100) as { table: string; column: string; type: string }[]
  const tables = new Map<string, Map<string, string>>()
  for (const { table, column, type } of rows) {
    if (!tables.has(table)) tables.set(table, new Map())
    tables.get(table)!.set(column, type.toUpperCase())
  }
  return [...tables].slice(0, MAX_TABLES).map(([table, columns]) => ({ table, columns }))
}

function readHeader(path: string): Buffer {
  const file = openSync(path, 'r')
  try {
    const header = Buffer.alloc(HEADER_BYTES)
    readSync(file, header, 0, HEADER_BYTES, 0)
    return header
  } finally {
    closeSync(file)
  }
}

function sizeOf(path: string): number {
  return statSync(path, { throwIfNoEntry: false })?.size ?? 0
}

/** SHA-256 of files one after the other, in hexadecimal. */
export async function hashFiles(paths: readonly string[], signal?: AbortSignal): Promise<string> {
  const hash = createHash('sha256')
  for (const path of paths)
    for await (const part of createReadStream(path, { highWaterMark: 1 << 20, ...(signal && { signal }) }))
      hash.update(part as Buffer)
  return hash.digest('hex')
}

function quoted(name: string): string {
  return `"${name.replaceAll('"', '""')}"`
}
