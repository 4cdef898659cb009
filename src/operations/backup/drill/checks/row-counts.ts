import { each } from '../restored-databases.ts'
import { LISTED, type ProofCheck } from '../proof-check.ts'
import { rememberedBefore } from './remembered-before.ts'
import { storedTables } from './tables.ts'

/** Tables whose rows come and go by themselves. */
const PASSING =
  /^(?:nomaly\.(?:outbox|events|raises|orphans|commit_markers|idempotency_keys|sessions|session_revocations|sign_in_links|detector_snapshots)|pgboss\.|metrics\.(?:timescale_)?late_|metrics\.backfill|_timescaledb_internal\._compressed|_timescaledb)/

/** Reads every row of every table. */
export const rowCounts: ProofCheck = {
  name: 'rows',
  shows: 'every row of every table can be read, and no table that had rows has none',
  async run(context) {
    const rows: Record<string, number> = {}
    const unreadable: string[] = []
    for (const restored of each(context))
      for (const { name } of await storedTables(restored)) {
        context.signal.throwIfAborted()
        context.progress(name)
        try {
          // Of all columns, so that what is kept out of line is fetched too.
          const { rows: found } = await restored.client.query<{ rows: number }>(
            `select count(t)::float8 as rows from (select * from ${name} offset 0) t where octet_length(t::text) >= 0`,
          )
          rows[name] = found[0]!.rows
        } catch (error) {
          unreadable.push(`${name}: ${(error as Error).message}`)
        }
      }
    const { rows: last } = await context.core.client.query<{ id: string }>(
      'select coalesce(max(id), 0)::text as id from nomaly.audit_log',
    )
    const before = rememberedBefore(context.remembered, last[0]!.id)?.rows ?? {}
    const emptied = Object.keys(before).filter(
      (name) => before[name]! > 0 && !PASSING.test(name) && rows[name] === 0,
    )
    const total = Object.values(rows).reduce((sum, count) => sum + count, 0)
    const details = [
      ...unreadable,
      ...emptied.map((name) => `${name} is empty; it had ${before[name]} rows at the last drill.`),
    ].slice(0, LISTED)
    if (unreadable.length > 0)
      return { verdict: 'fail', says: `${unreadable.length} tables cannot be read whole.`, details }
    if (emptied.length > 0)
      return { verdict: 'fail', says: `${emptied.length} tables have lost all their rows.`, details }
    return {
      verdict: 'ok',
      says: `${total} rows of ${Object.keys(rows).length} tables were read.`,
      remember: { rows },
    }
  },
}
