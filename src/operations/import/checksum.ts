import { createHash } from 'node:crypto'
import { canonicalJson } from './python-json.ts'
import type { ColumnType, TargetTable } from './target-table.ts'

/** One text for one value, whether it is about to be stored or was read back. */
export function canonicalValue(type: ColumnType, text: string | null): string {
  if (text === null) return '\0'
  switch (type) {
    case 'uuid':
      return text.toLowerCase()
    case 'jsonb':
      return canonicalJson(JSON.parse(text))
    case 'float8':
      return String(Number(text))
    case 'int4':
      return String(Number(text))
    case 'float8[]':
      return items(text)
        .map((item) => (item === 'NULL' ? item : String(Number(item))))
        .join(',')
    case 'boolean':
      return text === 't' || text === 'true' ? 'true' : 'false'
    case 'boolean[]':
      return items(text)
        .map((item) => (item === 'NULL' ? item : item.startsWith('t') ? 'true' : 'false'))
        .join(',')
    default:
      return text
  }
}

function items(array: string): string[] {
  return array === '{}' ? [] : array.slice(1, -1).split(',')
}

/** What a row comes to in one table, as one text. */
export function canonicalRow(table: TargetTable, values: Readonly<Record<string, string | null>>): string {
  return Object.entries(table.columns)
    .map(([column, type]) => canonicalValue(type, values[column] ?? null))
    .join('\u0001')
}

/**
 * A checksum of rows in whatever order they come: the sum of the first eight bytes of the SHA-256 of each, modulo 2^64. It tells sets of rows
 * apart that differ by mistake, not by intent.
 */
export class Checksum {
  #sum = 0n
  #count = 0

  add(row: string): void {
    this.#sum += createHash('sha256').update(row).digest().readBigUInt64BE(0)
    this.#count++
  }

  get count(): number {
    return this.#count
  }

  get text(): string {
    return BigInt.asUintN(64, this.#sum).toString(16).padStart(16, '0')
  }
}
