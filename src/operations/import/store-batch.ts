import type { Connection } from '../../database/connection.ts'
import type { Converted, Need, Refused } from './converted.ts'
import type { Tally } from './import-ledger.ts'
import { type Outcome, storeRows } from './store-rows.ts'
import { type TargetRow, type TargetTable, TARGETS } from './target-table.ts'

/** What a batch of rows came to. */
export interface BatchOutcome {
  readonly refused: readonly Refused[]
  readonly tally: Tally
}

/** Stores a batch of rows of one table with all that goes along with them, as `nomaly_system`, and adds to what was counted before. */
export async function storeBatch(
  connection: Connection,
  rows: readonly (Converted | Refused)[],
  sourceRows: number,
  before: Tally,
  homeTenantId: string,
): Promise<BatchOutcome> {
  const refused = rows.filter((row): row is Refused => !('row' in row))
  const all = rows.filter((row): row is Converted => 'row' in row)
  const known = await knownTenants(connection, all)
  // A tenant whose own row was set aside is not there. What is said of its rows is kept where rows of no tenant are.
  const isHomeless = ({ row, tenantId }: Converted): boolean =>
    row.table !== TARGETS.tenants && !known.has(tenantId)
  const home = (row: Converted): Converted =>
    known.has(row.tenantId) ? row : { ...row, tenantId: homeTenantId }
  for (const row of all.filter(isHomeless))
    refused.push(refuse(home(row), 'tenant_missing', `its tenant ${row.tenantId} is not there`))
  let converted = all.filter((row) => !isHomeless(row))
  const lacking = async (tables: readonly Need['table'][]): Promise<void> => {
    const missing = await findMissing(connection, converted, tables)
    refused.push(...[...missing].map(([row, need]) => refuse(row, need.reason, missingText(need))))
    converted = converted.filter((row) => !missing.has(row))
  }
  await lacking(['detectors', 'users'])
  for (const group of byTable(converted.flatMap((row) => row.before)))
    await storeRows(connection, group[0]!.table, unique(group))
  await lacking(['datasets'])
  const outcomes: Outcome[] = []
  const order: Converted[] = []
  for (const group of byTable(converted.map(({ row }) => row))) {
    outcomes.push(...(await storeRows(connection, group[0]!.table, group)))
    order.push(...converted.filter(({ row }) => row.table === group[0]!.table))
  }
  const kept = order.filter((_, at) => outcomes[at]!.kind !== 'refused')
  for (const [at, outcome] of outcomes.entries())
    if (outcome.kind === 'refused') refused.push(refuse(home(order[at]!), outcome.reason, outcome.detail))
  let findings = 0
  for (const group of byTable(kept.flatMap(({ after }) => after))) {
    await storeRows(connection, group[0]!.table, group)
    if (group[0]!.table === TARGETS.findings) findings += group.length
  }
  const tally: Tally = {
    read: before.read + sourceRows,
    stored: before.stored + outcomes.filter(({ kind }) => kind === 'stored').length,
    present: before.present + outcomes.filter(({ kind }) => kind === 'present').length,
    quarantined: before.quarantined + refused.length,
    findings: before.findings + findings,
    fills: addCounts(
      before.fills,
      kept.flatMap((row) => row.fills),
    ),
    reasons: addCounts(
      before.reasons,
      refused.map(({ reason }) => reason),
    ),
  }
  return { refused, tally }
}

async function knownTenants(connection: Connection, rows: readonly Converted[]): Promise<Set<string>> {
  const ids = [...new Set(rows.map(({ tenantId }) => tenantId))]
  const found = await connection.query<{ id: string }>(
    'select id::text from nomaly.tenants where id = any($1::uuid[])',
    [ids],
  )
  return new Set(found.map(({ id }) => id))
}

/** Counts of words, with some more of them. */
export function addCounts(
  before: Readonly<Record<string, number>>,
  words: readonly string[],
): Record<string, number> {
  const counts = { ...before }
  for (const word of words) counts[word] = (counts[word] ?? 0) + 1
  return counts
}

const TABLES: Readonly<Record<Need['table'], TargetTable>> = {
  datasets: TARGETS.datasets,
  detectors: TARGETS.detectors,
  users: TARGETS.users,
}

/** Rows of which something that they speak of is not in their tenant. */
export async function findMissing(
  connection: Connection,
  rows: readonly Converted[],
  tables: readonly Need['table'][],
): Promise<Map<Converted, Need>> {
  const missing = new Map<Converted, Need>()
  for (const table of tables) {
    const asked = rows.flatMap((row) =>
      row.needs.filter((need) => need.table === table).map((need) => ({ row, need })),
    )
    if (asked.length === 0) continue
    const found = await connection.query<{ key: string }>(
      `select distinct t.tenant_id || ' ' || t.id as key from ${TABLES[table].name} t
       join unnest($1::uuid[], $2::uuid[]) k(tenant_id, id) on t.tenant_id = k.tenant_id and t.id = k.id`,
      [asked.map(({ row }) => row.tenantId), asked.map(({ need }) => need.id)],
    )
    const there = new Set(found.map(({ key }) => key))
    for (const { row, need } of asked)
      if (!there.has(`${row.tenantId} ${need.id}`) && !missing.has(row)) missing.set(row, need)
  }
  return missing
}

export function missingText({ table, id }: Need): string {
  return `its ${table.slice(0, -1)} ${id} is not there`
}

export function refuse(row: Converted, reason: Refused['reason'], detail: string): Refused {
  const { place, sourceId, tenantId, record } = row
  return { place, sourceId, tenantId, reason, detail, record: record() }
}

function byTable(rows: readonly TargetRow[]): TargetRow[][] {
  return [...Map.groupBy(rows, ({ table }) => table).values()]
}

function unique(rows: readonly TargetRow[]): TargetRow[] {
  return [...new Map(rows.map((row) => [row.values['id'], row])).values()]
}
