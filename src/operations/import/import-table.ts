import type { Database } from '../../database/database.ts'
import type { ConvertContext } from './convert-context.ts'
import { convertRow } from './convert-row.ts'
import type { Converted, Refused } from './converted.ts'
import type { ImportLedger, Tally } from './import-ledger.ts'
import type { SourceTable } from './source.ts'
import { storeBatch } from './store-batch.ts'

/** The import of one source, under way. */
export interface ImportRun {
  readonly database: Database
  readonly ledger: ImportLedger
  readonly context: ConvertContext
  readonly signal: AbortSignal
  /** Told how many rows of the source were dealt with. */
  readonly onRows: (rows: number) => void
}

/** A table whose rows become rows. */
export type RowTable = SourceTable & { readonly noun: Exclude<SourceTable['noun'], 'metrics'> }

const MAX_SOURCE_ROWS = 500
const MAX_TARGET_ROWS = 20_000
const MAX_CHARACTERS = 8_000_000
const STATEMENT_TIMEOUT_MS = 120_000

/** Imports a table from where it was left, batch after batch, each with the place that it reaches in one transaction. */
export async function importTable(run: ImportRun, table: RowTable): Promise<Tally> {
  const { database, ledger, context, signal, onRows } = run
  let { place, isDone, tally } = await ledger.placeOf(table.name)
  onRows(tally.read)
  if (isDone) return tally
  const write = async (batch: Batch | undefined): Promise<void> => {
    const options = { role: 'nomaly_system', signal, timeoutMs: STATEMENT_TIMEOUT_MS, retry: true } as const
    const reached = batch?.place ?? place
    const { value } = await database.transaction(options, async (connection) => {
      const outcome =
        batch === undefined
          ? { refused: [], tally }
          : await storeBatch(connection, batch.rows, batch.sourceRows, tally, context.tenantId)
      const next = { place: reached, isDone: batch === undefined, tally: outcome.tally }
      await ledger.advance(connection, table.name, next, outcome.refused)
      return outcome.tally
    })
    onRows(value.read - tally.read)
    place = reached
    tally = value
  }
  for (const batch of batchesOf(table, place, context)) await write(batch)
  await write(undefined)
  return tally
}

interface Batch {
  readonly place: bigint
  readonly sourceRows: number
  readonly rows: readonly (Converted | Refused)[]
}

/** The rows of a table after a place, converted, in pieces that one transaction takes. */
export function* batchesOf(table: RowTable, after: bigint, context: ConvertContext): Generator<Batch> {
  let rows: (Converted | Refused)[] = []
  let [sourceRows, targetRows, characters] = [0, 0, 0]
  let place = after
  for (const row of table.rows(after)) {
    const converted = convertRow(table, row, context)
    rows.push(...converted)
    place = row.place
    sourceRows++
    for (const item of converted) targetRows += 'row' in item ? 1 + item.after.length : 1
    for (const value of Object.values(row.values)) if (typeof value === 'string') characters += value.length
    if (sourceRows < MAX_SOURCE_ROWS && targetRows < MAX_TARGET_ROWS && characters < MAX_CHARACTERS) continue
    yield { place, sourceRows, rows }
    rows = []
    ;[sourceRows, targetRows, characters] = [0, 0, 0]
  }
  if (sourceRows > 0) yield { place, sourceRows, rows }
}
