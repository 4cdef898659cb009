import { type Check, fail, type Finding, ok, warn } from '../check.ts'

/** Of some two thousand million, after which the server takes no more writes. */
const FAIL_AGE = 1_200_000_000

interface Ages {
  readonly database: string
  readonly age: number
  readonly limit: number
}

export const WRAPAROUND: Check = {
  name: 'wraparound',
  on: 'server',
  looksAt:
    'How many transactions old the oldest row that was not frozen is, in every database of the server.',
  why: 'Transaction ids go round: past two thousand million the server stops taking writes.',
  async examine({ ask }) {
    const [row] = await ask<Ages>(
      `select datname as database, greatest(age(datfrozenxid), mxid_age(datminmxid))::float8 as age,
         greatest(current_setting('autovacuum_freeze_max_age')::int8,
                  current_setting('autovacuum_multixact_freeze_max_age')::int8)::float8 as limit
       from pg_database where datallowconn order by 2 desc limit 1`,
    )
    return [judgeAges(row!)]
  },
}

/** Warns where autovacuum should have frozen rows long ago, fails where little time is left. */
export function judgeAges(ages: Ages): Finding {
  const { database, age, limit } = ages
  const millions = Math.round(age / 1e6)
  const says = `The oldest rows are ${millions} million transactions old (database ${database}).`
  const todo = `Let \`vacuumdb --freeze ${database}\` run, and see what keeps autovacuum from it: \`long-transactions\`, \`replication-slots\`, \`vacuum\`.`
  if (age > FAIL_AGE) return fail(says, 'At 2,100 million the server stops taking writes.', todo, { ...ages })
  // From the limit on autovacuum does this by itself, whatever else it is told.
  if (age > limit * 1.5)
    return warn(says, 'Autovacuum should have frozen them, and did not get to it.', todo, { ...ages })
  return ok(says, { ...ages })
}
