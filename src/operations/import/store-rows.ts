import type { Connection } from '../../database/connection.ts'
import { canonicalValue } from './checksum.ts'
import type { Reason } from './converted.ts'
import type { ColumnType, TargetRow, TargetTable } from './target-table.ts'

/** What became of a row that was to be stored. */
export type Outcome =
  | { readonly kind: 'stored' | 'present' }
  | { readonly kind: 'refused'; readonly reason: Reason; readonly detail: string }

type Values = Readonly<Record<string, string | null>>

const TIME_FORMAT = 'YYYY-MM-DD HH24:MI:SS.US'

/** Stores rows of one table as `nomaly_system`, in the order given; one that is there already stays as it is, and is compared. */
export async function storeRows(
  connection: Connection,
  table: TargetTable,
  rows: readonly TargetRow[],
): Promise<Outcome[]> {
  if (rows.length === 0) return []
  const named = await settleNames(connection, table, rows)
  const columns = Object.keys(table.columns)
  const inserted = await connection.query<Record<string, string>>(
    `insert into ${table.name} (${columns.join(', ')})
     select ${columns.map((column) => `r.${column}::${table.columns[column]!}`).join(', ')}
     from unnest(${columns.map((_, at) => `$${at + 1}::text[]`).join(', ')}) with ordinality r(${columns.join(', ')}, n)
     order by n on conflict do nothing
     returning ${table.key.map((column) => `${column}::text`).join(', ')}`,
    columns.map((column) => named.map((values) => values[column] ?? null)),
  )
  const isNew = new Set(inserted.map((row) => keyText(table, row)))
  const others = named.filter((values) => !isNew.has(keyText(table, values)))
  const present = await readRows(connection, table, others)
  const seen = new Set<string>()
  return named.map((values) => {
    const key = keyText(table, values)
    if (isNew.has(key) && !seen.has(key)) {
      seen.add(key)
      return { kind: 'stored' }
    }
    // Twice in one batch: what was stored of the first is what the second is compared with.
    const there = isNew.has(key)
      ? named.find((candidate) => keyText(table, candidate) === key)!
      : present.get(key)
    return compare(table, values, there)
  })
}

function compare(table: TargetTable, values: Values, there: Values | undefined): Outcome {
  if (there === undefined)
    return { kind: 'refused', reason: 'taken', detail: 'another row has what only one may have' }
  if ('tenant_id' in values && values['tenant_id'] !== there['tenant_id'])
    return { kind: 'refused', reason: 'taken', detail: 'a row of another tenant has this id' }
  const differing = differences(table, values, there)
  if (differing.length === 0) return { kind: 'present' }
  const detail = `a row of this id is there already, with another ${differing.join(', ')}`
  return { kind: 'refused', reason: 'differs', detail }
}

/** Columns in which a row is not what is there. */
export function differences(table: TargetTable, values: Values, there: Values): string[] {
  return Object.entries(table.columns)
    .filter(
      ([column, type]) =>
        canonicalValue(type, values[column] ?? null) !== canonicalValue(type, there[column] ?? null),
    )
    .map(([column]) => column)
}

/** The rows that are there of those with these keys, by {@link keyText}. */
export async function readRows(
  connection: Connection,
  table: TargetTable,
  rows: readonly Values[],
): Promise<Map<string, Values>> {
  if (rows.length === 0) return new Map()
  const found = await connection.query<Record<string, string | null>>(
    `select ${Object.entries(table.columns)
      .map(([column, type]) => `${readAs(column, type)} as ${column}`)
      .join(', ')}
     from ${table.name} t join unnest(${table.key.map((_, at) => `$${at + 1}::text[]`).join(', ')}) k(${table.key.map((_, at) => `k${at}`).join(', ')})
       on ${table.key.map((column, at) => `t.${column} = k.k${at}::${table.columns[column]!}`).join(' and ')}`,
    table.key.map((column) => rows.map((values) => values[column] ?? null)),
  )
  return new Map(found.map((row) => [keyText(table, row), row]))
}

/** What tells a row from all others of its table. */
export function keyText(table: TargetTable, values: Values): string {
  return table.key.map((column) => values[column] ?? '').join('\u0001')
}

function readAs(column: string, type: ColumnType): string {
  return type === 'timestamptz'
    ? `to_char(t.${column} at time zone 'UTC', '${TIME_FORMAT}') || '+00'`
    : `t.${column}::text`
}

/**
 * The values of rows, with the names that they are stored under: the fallback where the first is another row's, here or before. The same rows in
 * the same order get the same names, each time.
 */
async function settleNames(
  connection: Connection,
  table: TargetTable,
  rows: readonly TargetRow[],
): Promise<Values[]> {
  const [first] = rows
  if (first?.named === undefined) return rows.map(({ values }) => values)
  const { column, within } = first.named
  const group = (values: Values): string => within.map((name) => values[name] ?? '').join('\u0001')
  const scope = within.length === 0 ? `''` : within.map((name) => `${name}::text`).join(` || e'\\x01' || `)
  const holders = await connection.query<{ owner: string; name: string; scope: string }>(
    `select id::text as owner, ${column} as name, ${scope} as scope from ${table.name} where ${column} = any($1)`,
    [rows.map(({ values }) => values[column] ?? '')],
  )
  const owners = new Map(holders.map(({ owner, name, scope: of }) => [`${of}\u0001${name}`, owner]))
  return rows.map(({ values, named }) => {
    const key = `${group(values)}\u0001${values[column] ?? ''}`
    const owner = owners.get(key)
    if (owner !== undefined && owner !== values['id']) return { ...values, [column]: named!.fallback }
    owners.set(key, values['id']!)
    return values
  })
}
