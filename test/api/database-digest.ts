import type pg from 'pg'

/**
 * Sums up every row that a request may change, one line per table: names, counts and a hash of what is in them. Left out are what
 * every transaction leaves behind, and when a key or a browser was last seen.
 */
export async function digestDatabase(client: pg.Client): Promise<string> {
  const { rows: tables } = await client.query<{ name: string }>(
    `select format('%I.%I', nspname, relname) as name from pg_class c join pg_namespace n on n.oid = c.relnamespace
     where relkind in ('r', 'p') and not relispartition and (
       (nspname = 'nomaly' and relname <> 'commit_markers')
       or (nspname = 'metrics' and (relname like 'points\\_%' or relname in ('series', 'latest_points', 'backfills', 'backfill_parts'))))
     order by 1`,
  )
  const parts = tables.map(
    ({ name }) =>
      `select '${name} ' || count(*) || ' ' ||
         coalesce(sum(hashtextextended((to_jsonb(t) - 'last_used_at' - 'last_seen_at')::text, 0)), 0) as line
       from ${name} t`,
  )
  parts.push(`select 'tasks ' || count(*) from pgboss.job`)
  const { rows } = await client.query<{ line: string }>(parts.join(' union all '))
  return rows.map(({ line }) => line).join('\n')
}
