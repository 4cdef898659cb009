import { setTimeout as sleep } from 'node:timers/promises'
import pg from 'pg'
import type { AdminSession } from './admin-session.ts'
import type { RewrittenTable } from './receipt.ts'

interface TableFile {
  readonly name: string
  readonly owner: string
  readonly oid: number
  readonly file: number
  readonly bytes: number
}

/** For so long others may have to wait behind who waits for a table; then it is tried again. */
const LOCK_TIMEOUT_MS = 2_000
const ATTEMPTS = 60
const PAUSE_MS = 1_000
const LOCK_NOT_AVAILABLE = '55P03'

/** Values stand there as the most common ones, and as bounds of histograms. */
const STATISTICS = 'pg_catalog.pg_statistic'

export interface RewriteReport {
  readonly rewritten: readonly RewrittenTable[]
  /** Tables that were in use all the time, or that this login may not rewrite; and what else is left. */
  readonly left: readonly string[]
}

/**
 * Writes tables anew, with their indexes and what is stored out of line, so that rows that are dead are in no file any more (PostgreSQL manual,
 * VACUUM FULL). Each is locked against everybody while it is written; where others use it, it is waited for in short turns, so that nobody has to
 * wait for long behind who waits. Whatever the planner knows of values of these tables is made anew as well.
 */
export async function rewriteTables(
  database: AdminSession,
  label: string,
  names: readonly string[],
  signal: AbortSignal,
  onTable: (done: number, total: number) => void = () => {},
): Promise<RewriteReport> {
  const rewritten: RewrittenTable[] = []
  const left: string[] = []
  const tables = await findTables(database, names)
  for (const [index, table] of tables.entries()) {
    signal.throwIfAborted()
    onTable(index, tables.length)
    if (!(await rewriteOne(database, table, signal))) {
      left.push(
        `${table.name} (${label}) could not be rewritten: dead rows stand in its file until \`vacuum full\` is run on it.`,
      )
      continue
    }
    const after = (await findTables(database, [table.name]))[0]
    rewritten.push({
      database: label,
      table: table.name,
      bytesBefore: table.bytes,
      bytesAfter: after?.bytes ?? 0,
    })
  }
  await forgetStatistics(database, names)
  const [statistics] = await findTables(database, [STATISTICS])
  if (!(await rewriteOne(database, statistics!, signal)))
    left.push(
      `${STATISTICS} (${label}) could not be rewritten: samples of erased values may stand in its file until it is.`,
    )
  return { rewritten, left }
}

/** The tables that hold rows themselves: of one with partitions, these. What is not there any more has nothing to rewrite. */
async function findTables(database: AdminSession, names: readonly string[]): Promise<TableFile[]> {
  const { rows } = await database.client.query<TableFile>(
    `select format('%I.%I', n.nspname, c.relname) as name, pg_get_userbyid(c.relowner) as owner, c.oid::int8::float8 as oid,
       pg_relation_filenode(c.oid)::int8::float8 as file, pg_total_relation_size(c.oid)::float8 as bytes
     from pg_class c join pg_namespace n on n.oid = c.relnamespace
     where c.relkind = 'r' and c.oid in (
       select leaf.relid from unnest($1::text[]) name cross join lateral pg_partition_tree(to_regclass(name)) leaf
       union select to_regclass(name) from unnest($1::text[]) name)
     order by 1`,
    [names],
  )
  return rows
}

/** Whether the table is in another file than before: without the right to it the server only warns. */
async function rewriteOne(database: AdminSession, table: TableFile, signal: AbortSignal): Promise<boolean> {
  const { client } = database
  for (let attempt = 1; attempt <= ATTEMPTS; attempt++) {
    try {
      await client.query(`set lock_timeout = ${LOCK_TIMEOUT_MS}`)
      if (!database.isSuperuser && isOurs(table))
        await client.query(`set role ${client.escapeIdentifier(table.owner)}`)
      await client.query(`vacuum (full) ${table.name}`)
    } catch (error) {
      if (!(error instanceof pg.DatabaseError) || error.code !== LOCK_NOT_AVAILABLE) throw error
      await sleep(PAUSE_MS, undefined, { signal })
      continue
    } finally {
      await client.query('reset role; reset lock_timeout').catch(() => {})
    }
    const [after] = await findTables(database, [table.name])
    return after === undefined || after.file !== table.file
  }
  return false
}

function isOurs({ owner }: TableFile): boolean {
  return owner === 'nomaly_owner' || owner === 'nomaly_system'
}

/**
 * Of the tables and of all that they are parts of, since samples of a whole are kept by themselves. Of a table that has become empty `analyze`
 * would leave what was known.
 */
async function forgetStatistics(database: AdminSession, names: readonly string[]): Promise<void> {
  const { client, isSuperuser } = database
  const { rows } = await client.query<{ name: string; oid: number; owner: string }>(
    `with recursive known as (
       select leaf.relid::oid as oid from unnest($1::text[]) name cross join lateral pg_partition_tree(to_regclass(name)) leaf
       union select to_regclass(name)::oid from unnest($1::text[]) name
       union select i.inhparent from pg_inherits i join known on known.oid = i.inhrelid)
     select format('%I.%I', n.nspname, c.relname) as name, c.oid::int8::float8 as oid, pg_get_userbyid(c.relowner) as owner
     from known join pg_class c on c.oid = known.oid join pg_namespace n on n.oid = c.relnamespace order by 1`,
    [names],
  )
  if (isSuperuser)
    await client.query('delete from pg_catalog.pg_statistic where starelid = any($1::oid[])', [
      rows.map(({ oid }) => oid),
    ])
  for (const { name, owner } of rows) {
    if (!isSuperuser) await client.query(`set role ${client.escapeIdentifier(owner)}`)
    await client.query(`analyze ${name}`)
    await client.query('reset role')
  }
}
