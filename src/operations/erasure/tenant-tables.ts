import type { AdminTransaction } from './admin-session.ts'

/** Every table of a schema whose rows belong to tenants, from the catalogue: a new one cannot be forgotten. */
const TENANT_TABLES = `select c.relname as name from pg_class c join pg_namespace n on n.oid = c.relnamespace
  where n.nspname = $1 and c.relkind in ('r', 'p') and not c.relispartition
    and exists (select from pg_attribute a where a.attrelid = c.oid and a.attname = 'tenant_id' and not a.attisdropped)
  order by 1`

/** How many rows a tenant has in each table of a schema that it has any in, by the name of the table with its schema; as `nomaly_system`. */
export async function countRows(
  run: AdminTransaction,
  schema: 'nomaly' | 'metrics',
  tenantId: string,
): Promise<Record<string, number>> {
  const counts: Record<string, number> = {}
  for (const { name } of await run.query<{ name: string }>(TENANT_TABLES, [schema])) {
    const [row] = await run.query<{ count: string }>(
      `select count(*) as count from ${schema}."${name}" where tenant_id = $1`,
      [tenantId],
    )
    if (row!.count !== '0') counts[`${schema}.${name}`] = Number(row!.count)
  }
  return counts
}

/** Removes what is left of a tenant in the tables of a schema, as `nomaly_system`; answers how many rows. */
export async function deleteRows(
  run: AdminTransaction,
  schema: 'nomaly' | 'metrics',
  tenantId: string,
): Promise<number> {
  let removed = 0
  for (const name of Object.keys(await countRows(run, schema, tenantId)))
    removed += await run.change(`delete from ${name} where tenant_id = $1`, [tenantId])
  return removed
}
