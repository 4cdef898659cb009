/** What a row of a source is called by what is in it, whatever its table is named. */
export type Noun =
  | 'tenants'
  | 'users'
  | 'grants'
  | 'datasets'
  | 'detectors'
  | 'results'
  | 'records'
  | 'metrics'

/** A value as it stands in a source; nested JSON is its text. */
export type SourceValue = null | string | number | bigint | boolean | Uint8Array

/** One row, and where in its table it stands: ascending, the same at each reading. */
export interface SourceRow {
  readonly place: bigint
  readonly values: Readonly<Record<string, SourceValue>>
}

/** A table whose rows are understood. */
export interface SourceTable {
  readonly name: string
  readonly noun: Noun
  /** Declared type by column, in upper case; empty text where there is none. */
  readonly columns: ReadonlyMap<string, string>
  readonly count: number
  rows(after: bigint): Iterable<SourceRow>
  /** The same, as arrays that begin with the place; `columns` are names of this table. */
  select(columns: readonly string[], after: bigint): Iterable<readonly SourceValue[]>
  /** The same, so many at once: for narrow rows, of which there are millions. */
  pages(
    columns: readonly string[],
    after: bigint,
    size: number,
  ): Iterable<readonly (readonly SourceValue[])[]>
  /** At most so many different values of a column, in no order; among so many rows from the beginning where that is said. */
  distinct(column: string, limit: number, amongFirst?: number): readonly SourceValue[]
}

/** A table that is left out, and why. */
export interface UnusedTable {
  readonly table: string
  readonly rows: number
  readonly reason: string
}

export type Family = 'A' | 'B' | 'JSON' | 'jobs'

/** One SQLite file, or the JSON files of one folder, open for reading; never changed. */
export interface SourceStore extends Disposable {
  /** Path from where the import was pointed at. */
  readonly name: string
  readonly family: Family
  readonly bytes: number
  /** SHA-256 of what was read, in hexadecimal. */
  readonly fingerprint: string
  /** When the file was changed last: what stands in for a time that the source does not have. */
  readonly modifiedAt: Date
  readonly tables: readonly SourceTable[]
  readonly unused: readonly UnusedTable[]
  /** @throws NomalyError `conflict` where the source is no longer what was opened. */
  requireUnchanged(): void
}
