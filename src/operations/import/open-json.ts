import { createHash } from 'node:crypto'
import { readFileSync, statSync } from 'node:fs'
import { basename } from 'node:path'
import { parsePythonJson } from './python-json.ts'
import { recogniseEntries } from './recognise-table.ts'
import type { Noun, SourceRow, SourceStore, SourceTable, SourceValue, UnusedTable } from './source.ts'
import { changedMeanwhile, explainSourceError, unreadable } from './source-errors.ts'

/** The longest text that JavaScript has is a little longer. */
const MAX_BYTES = 500_000_000
/** Entries that are looked at to tell what a file holds. */
const SAMPLE = 20
const EMPTY_STORES: Readonly<Record<string, Noun>> = {
  'datasets.json': 'datasets',
  'detectors.json': 'detectors',
  'results.json': 'results',
}

/** A file of a JSON store, read; or why it is none. */
export type JsonFile = { readonly table: SourceTable; readonly hash: Buffer } | { readonly reason: string }

/**
 * Reads a file of a JSON store: entries by id. What it holds is told by its entries; by its name only where there are none.
 * @throws NomalyError where the file cannot be read, or is too large.
 */
export function readJsonFile(path: string, name: string): JsonFile {
  let bytes: Buffer
  try {
    if (statSync(path).size > MAX_BYTES)
      throw unreadable(name, 'is larger than 500 MB', 'Import it from the SQLite database instead.')
    bytes = readFileSync(path)
  } catch (error) {
    throw explainSourceError(error, name)
  }
  if (bytes.length === 0) return { reason: 'is empty' }
  const parsed = parsePythonJson(bytes.toString('utf8').replace(/^\uFEFF/, ''))
  if (parsed === undefined) return { reason: 'is no JSON, or was cut off' }
  const { value } = parsed
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    return { reason: 'is JSON, but no store of entries by id' }
  const entries = Object.entries(value as Record<string, unknown>)
  const noun = nounOf(entries, basename(path))
  if (noun === undefined) return { reason: 'is JSON, but no store of detectors, datasets or results' }
  const hash = createHash('sha256').update(bytes).digest()
  return { table: new JsonTable(basename(path), noun, entries), hash }
}

function nounOf(entries: readonly (readonly [string, unknown])[], name: string): Noun | undefined {
  if (entries.length === 0) return EMPTY_STORES[name]
  const nouns = new Set(
    entries
      .slice(0, SAMPLE)
      .map(([, entry]) =>
        typeof entry === 'object' && entry !== null
          ? recogniseEntries(new Set(Object.keys(entry)))
          : undefined,
      ),
  )
  return nouns.size === 1 ? [...nouns][0] : undefined
}

class JsonTable implements SourceTable {
  readonly name: string
  readonly noun: Noun
  readonly columns: ReadonlyMap<string, string>
  readonly count: number
  readonly #entries: readonly (readonly [string, unknown])[]

  constructor(name: string, noun: Noun, entries: readonly (readonly [string, unknown])[]) {
    this.name = name
    this.noun = noun
    this.#entries = entries
    this.count = entries.length
    const fields = entries.flatMap(([, entry]) =>
      typeof entry === 'object' && entry !== null ? Object.keys(entry) : [],
    )
    this.columns = new Map(['id', ...fields].map((field) => [field, '']))
  }

  *rows(after: bigint): Generator<SourceRow> {
    for (let at = Math.max(0, Number(after)); at < this.#entries.length; at++) {
      const [id, entry] = this.#entries[at]!
      const fields = typeof entry === 'object' && entry !== null ? Object.entries(entry) : []
      const values = fields.map(([field, value]) => [field, toSourceValue(value)] as const)
      // The key is what the original finds an entry by.
      yield { place: BigInt(at + 1), values: { ...Object.fromEntries(values), id } }
    }
  }

  *select(columns: readonly string[], after: bigint): Generator<readonly SourceValue[]> {
    for (const { place, values } of this.rows(after))
      yield [place, ...columns.map((column) => values[column] ?? null)]
  }

  *pages(
    columns: readonly string[],
    after: bigint,
    size: number,
  ): Generator<readonly (readonly SourceValue[])[]> {
    const rows = [...this.select(columns, after)]
    for (let at = 0; at < rows.length; at += size) yield rows.slice(at, at + size)
  }

  distinct(column: string, limit: number, amongFirst = Number.POSITIVE_INFINITY): SourceValue[] {
    const values = new Set<SourceValue>()
    let rows = 0
    for (const [, value] of this.select([column], 0n)) {
      if (rows++ >= amongFirst || values.size >= limit) break
      values.add(value!)
    }
    return [...values]
  }
}

function toSourceValue(value: unknown): SourceValue {
  if (typeof value === 'object' && value !== null) return JSON.stringify(value)
  if (typeof value === 'number' && Number.isSafeInteger(value)) return BigInt(value)
  return value as SourceValue
}

/** The JSON files of one folder as one source. */
export function openJsonStore(
  name: string,
  files: readonly { readonly path: string; readonly table: SourceTable; readonly hash: Buffer }[],
  unused: readonly UnusedTable[],
): SourceStore {
  const stats = files.map(({ path }) => statSync(path))
  const hash = createHash('sha256')
  for (const file of files) hash.update(file.table.name).update('\0').update(file.hash)
  return {
    name,
    family: 'JSON',
    bytes: stats.reduce((sum, { size }) => sum + size, 0),
    fingerprint: hash.digest('hex'),
    modifiedAt: new Date(Math.max(...stats.map(({ mtimeMs }) => mtimeMs))),
    tables: files.map(({ table }) => table),
    unused,
    requireUnchanged() {
      for (const [at, { path }] of files.entries()) {
        const now = statSync(path)
        if (now.size !== stats[at]!.size || now.mtimeMs !== stats[at]!.mtimeMs) throw changedMeanwhile(path)
      }
    },
    [Symbol.dispose]() {},
  }
}
