import type pg from 'pg'

/** A table whose rows belong to tenants. */
export interface TenantTable {
  /** Quoted, with its schema. */
  readonly name: string
  readonly schema: string
  readonly isSecured: boolean
  readonly isForced: boolean
  /** Those that can be written: neither generated nor numbered by the database alone. */
  readonly columns: readonly string[]
}

/** Every table that has a `tenant_id`, asked from the catalogue, so that a new one cannot be missed. */
export async function listTenantTables(admin: pg.Client): Promise<TenantTable[]> {
  const { rows } = await admin.query<TenantTable>(`
    select format('%I.%I', n.nspname, c.relname) as name, n.nspname as schema, c.relrowsecurity as "isSecured",
           c.relforcerowsecurity as "isForced",
           array(select quote_ident(attname) from pg_attribute where attrelid = c.oid and attnum > 0 and not attisdropped
                 and attgenerated = '' order by attnum) as columns
    from pg_class c join pg_namespace n on n.oid = c.relnamespace
    where c.relkind in ('r', 'p') and not c.relispartition and n.nspname not in ('pg_catalog', 'information_schema')
      and exists (select from pg_attribute where attrelid = c.oid and attname = 'tenant_id' and not attisdropped)
    order by 1`)
  return rows
}

/** All that a tenant has, points included, as text; left out is when its keys and browsers were last seen. */
export async function dumpTenant(admin: pg.Client, tenantId: string): Promise<string> {
  const lines: string[] = []
  const add = async (title: string, query: string): Promise<void> => {
    const { rows } = await admin.query<{ line: string }>(query, [tenantId])
    lines.push(`# ${title}`, ...rows.map(({ line }) => line).toSorted())
  }
  await add('tenants', 'select to_jsonb(t)::text as line from nomaly.tenants t where id = $1')
  for (const { name } of await listTenantTables(admin))
    await add(
      name,
      `select (to_jsonb(t) - 'last_used_at' - 'last_seen_at')::text as line from ${name} t where tenant_id = $1`,
    )
  for (const table of ['points_forever', 'points_year', 'points_month', 'points_week', 'latest_points'])
    await add(
      table,
      `select to_jsonb(p)::text as line from metrics.${table} p join metrics.series s on s.id = p.series_id where s.tenant_id = $1`,
    )
  return lines.join('\n')
}
