import type { RestoredDatabase } from '../restored-databases.ts'

/** A table with rows of its own, by its quoted name with its schema. */
export interface StoredTable {
  readonly oid: number
  readonly name: string
}

/**
 * Every table and materialized view that has rows of its own, no temporary ones. Of TimescaleDB hypertables stand for their chunks, which they
 * read with what is compressed in them; what that is kept in can be read by nobody as a whole.
 */
export async function storedTables({ client }: RestoredDatabase): Promise<StoredTable[]> {
  const { rows } = await client.query<StoredTable>(
    `select c.oid::int8::float8 as oid, format('%I.%I', n.nspname, c.relname) as name
     from pg_class c join pg_namespace n on n.oid = c.relnamespace
     where c.relkind in ('r', 'm') and c.relpersistence = 'p' and n.nspname !~ '^pg_' and n.nspname <> 'information_schema'
       and not (n.nspname = '_timescaledb_internal' and c.relname ~ '^(_hyper_\\d+_\\d+_chunk|_compressed_hypertable_\\d+)$')
     order by 2`,
  )
  return rows
}
