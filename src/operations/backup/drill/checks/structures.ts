import { each, type RestoredDatabase } from '../restored-databases.ts'
import { LISTED, type ProofCheck, type ProofContext, type ProofFinding } from '../proof-check.ts'

interface Relation {
  readonly oid: number
  readonly name: string
}

/** Every table by `verify_heapam` (PostgreSQL manual, F.1 amcheck), with what it keeps out of line. */
export const heaps: ProofCheck = {
  name: 'tables (amcheck)',
  shows: 'every table is sound, by verify_heapam',
  run: (context) =>
    checkAll(
      context,
      'tables',
      `c.relkind in ('r', 'm', 't') and c.relam = (select oid from pg_am where amname = 'heap')`,
      (name) =>
        `select format('block %s, row %s: %s', blkno, offnum, msg) as problem from verify_heapam(${name}) limit 10`,
    ),
}

/** Every B-tree index by `bt_index_check`, with every row of its table looked for in it. */
export const indexes: ProofCheck = {
  name: 'indexes (amcheck)',
  shows: 'every B-tree is sound and has every row of its table, by bt_index_check',
  run: (context) =>
    checkAll(
      context,
      'indexes',
      `c.relkind = 'i' and c.relam = (select oid from pg_am where amname = 'btree')
         and exists (select from pg_index i where i.indexrelid = c.oid and i.indisvalid and i.indisready)`,
      (name) => `select null as problem from bt_index_check(${name}, true)`,
    ),
}

async function checkAll(
  context: ProofContext,
  what: string,
  which: string,
  statement: (regclass: string) => string,
): Promise<ProofFinding> {
  let checked = 0
  const problems: string[] = []
  for (const restored of each(context)) {
    await ensureAmcheck(restored)
    for (const { oid, name } of await relations(restored, which)) {
      context.signal.throwIfAborted()
      context.progress(name)
      checked += 1
      try {
        const { rows } = await restored.client.query<{ problem: string | null }>(
          statement(`${oid}::regclass`),
        )
        for (const { problem } of rows) if (problem !== null) problems.push(`${name}: ${problem}`)
      } catch (error) {
        problems.push(`${name}: ${(error as Error).message}`)
      }
    }
  }
  if (problems.length === 0) return { verdict: 'ok', says: `${checked} ${what} are sound.` }
  return {
    verdict: 'fail',
    says: `${problems.length} things are wrong in ${what}.`,
    details: problems.slice(0, LISTED),
  }
}

async function ensureAmcheck({ client }: RestoredDatabase): Promise<void> {
  await client.query('create extension if not exists amcheck')
}

async function relations({ client }: RestoredDatabase, which: string): Promise<Relation[]> {
  const { rows } = await client.query<Relation>(
    `select c.oid::int8::float8 as oid, c.oid::regclass::text as name
     from pg_class c where c.relpersistence = 'p' and ${which} order by 2`,
  )
  return rows
}
