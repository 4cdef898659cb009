import { countText, durationText } from '../amounts.ts'
import { type Check, fail, type Finding, hidden, ok, warn } from '../check.ts'
import type { ExaminedServer } from '../examined-database.ts'

const LONG_SECONDS = 300
const VERY_LONG_SECONDS = 3_600

interface Transaction {
  readonly pid: number | null
  readonly who: string
  readonly state: string | null
  readonly seconds: number
}

export const LONG_TRANSACTIONS: Check = {
  name: 'long-transactions',
  on: 'server',
  looksAt: 'Transactions open for more than five minutes, and prepared ones that nobody has ended.',
  why: 'Nothing that was deleted since can be cleaned up, for all tables, and what they lock stays locked.',
  async examine({ ask, seesAll }) {
    if (!seesAll) return [hidden('the transactions of other logins')]
    return findLongTransactions(ask, LONG_SECONDS, VERY_LONG_SECONDS)
  },
}

/** Warns of transactions that are open for longer than the first time, fails beyond the second; in seconds. */
export async function findLongTransactions(
  ask: ExaminedServer['ask'],
  longSeconds: number,
  veryLongSeconds: number,
): Promise<Finding[]> {
  // The text of a statement is not shown: what stands in it may be private.
  const rows = await ask<Transaction>(
    `select pid, coalesce(nullif(application_name, ''), 'a client') || coalesce(' of ' || usename, '') as who, state,
         extract(epoch from clock_timestamp() - xact_start)::float8 as seconds
       from pg_stat_activity
       where xact_start < clock_timestamp() - make_interval(secs => $1) and coalesce(backend_type, 'client backend') = 'client backend'
         and pid <> pg_backend_pid()
       union all
       select null, 'the prepared transaction ' || gid, 'prepared', extract(epoch from clock_timestamp() - prepared)::float8
       from pg_prepared_xacts where prepared < clock_timestamp() - make_interval(secs => $1)
       order by seconds desc`,
    [longSeconds],
  )
  if (rows.length === 0) return [ok(`None is older than ${durationText(longSeconds)}.`)]
  return [judge(rows, veryLongSeconds)]
}

function judge(rows: readonly Transaction[], veryLongSeconds: number): Finding {
  const [oldest] = rows
  const { pid, who, state, seconds } = oldest!
  const what = state === 'idle in transaction' ? 'idle in a transaction' : 'in a transaction'
  const says =
    pid === null
      ? `${who} has been open for ${durationText(seconds)}.`
      : `${who} (process ${pid}) has been ${what} for ${durationText(seconds)}.`
  const more = rows.length === 1 ? '' : ` ${countText(rows.length - 1, 'other')} too.`
  const means = 'What was deleted since cannot be cleaned up: tables and indexes grow, and reads get slower.'
  const todo =
    pid === null
      ? 'End it with `commit prepared` or `rollback prepared`.'
      : `See what it is, and end it with \`select pg_terminate_backend(${pid})\` if it is not meant.`
  const report = seconds > veryLongSeconds ? fail : warn
  return report(says + more, means, todo, { transactions: rows })
}
