import type { Database } from '../../database/database.ts'
import { canonicalRow, Checksum } from './checksum.ts'
import type { Converted } from './converted.ts'
import { batchesOf, type ImportRun, type RowTable } from './import-table.ts'
import { differences, keyText, readRows } from './store-rows.ts'
import { type TargetRow, TARGETS } from './target-table.ts'

/** What a table comes to in the source and in the target, rows that were set aside left out. */
export interface Comparison {
  readonly what: string
  readonly source: number
  readonly target: number
  readonly sourceChecksum: string
  readonly targetChecksum: string
  /** Rows that are missing or differ, by what tells them from others; the first 20. */
  readonly wrong: readonly string[]
}

/** Whether both sides are the same. */
export function isSame({ source, target, sourceChecksum, targetChecksum }: Comparison): boolean {
  return source === target && sourceChecksum === targetChecksum
}

const MAX_WRONG = 20

/** Reads a table of the source again, and with each row what is stored of it. */
export async function verifyTable(
  run: Pick<ImportRun, 'database' | 'ledger' | 'context' | 'signal'>,
  table: RowTable,
): Promise<Comparison[]> {
  const { database, ledger, context, signal } = run
  const aside = await ledger.quarantinedPlaces(table.name)
  const sides = new Map<string, Sides>()
  for (const { rows } of batchesOf(table, -(2n ** 63n), context)) {
    signal.throwIfAborted()
    const kept = rows.filter(
      (row): row is Converted =>
        'row' in row &&
        !aside.has(`${row.place} ${row.tenantId}`) &&
        !aside.has(`${row.place} ${context.tenantId}`),
    )
    const targets = kept.flatMap((row) => [row.row, ...row.after])
    for (const [target, group] of Map.groupBy(targets, (row) => row.table)) {
      const what = target === TARGETS.findings ? 'row findings' : table.name
      const isBeside = target === TARGETS.records && table.noun === 'tenants' && !context.isOneTenant
      const name = isBeside ? `${what}, plan and limits` : what
      if (!sides.has(name)) sides.set(name, new Sides())
      await compareGroup(database, group, sides.get(name)!)
    }
  }
  if (sides.size === 0) sides.set(table.name, new Sides())
  return [...sides].map(([what, side]) => side.compared(what))
}

class Sides {
  readonly source = new Checksum()
  readonly target = new Checksum()
  readonly wrong: string[] = []
  /** Rows that the source has twice are one in the target. */
  readonly seen = new Set<string>()

  compared(what: string): Comparison {
    return {
      what,
      source: this.source.count,
      target: this.target.count,
      sourceChecksum: this.source.text,
      targetChecksum: this.target.text,
      wrong: this.wrong,
    }
  }
}

async function compareGroup(database: Database, group: readonly TargetRow[], side: Sides): Promise<void> {
  const { table } = group[0]!
  const there = await database.read({ role: 'nomaly_system', freshness: 'latest' }, (connection) =>
    readRows(
      connection,
      table,
      group.map(({ values }) => values),
    ),
  )
  for (const { values, named } of group) {
    const key = keyText(table, values)
    if (side.seen.has(key)) continue
    // Findings are too many to remember, and their results are not twice.
    if (table !== TARGETS.findings) side.seen.add(key)
    const stored = there.get(key)
    // Which of the two names it has is decided by what was there before.
    const isFallback = named !== undefined && stored?.[named.column] === named.fallback
    const expected = isFallback ? { ...values, [named.column]: named.fallback } : values
    side.source.add(canonicalRow(table, expected))
    if (stored !== undefined) side.target.add(canonicalRow(table, stored))
    const isRight = stored !== undefined && differences(table, expected, stored).length === 0
    if (!isRight && side.wrong.length < MAX_WRONG) side.wrong.push(key.replaceAll('\u0001', ' '))
  }
}
