import { type Check, fail, type Finding, ok, warn } from '../check.ts'

interface Places {
  readonly encoding: string
  readonly zone: string
  readonly isUtc: boolean
  /** Of the collation: as it was when the database was made, and as the system has it now. */
  readonly madeWith: string | null
  readonly hasNow: string | null
}

export const TEXT_AND_TIME: Check = {
  name: 'text-and-time',
  on: 'database',
  looksAt: 'The encoding, the version of the collation that indexes are sorted by, and the time zone.',
  why: 'Indexes sorted by other rules than those in force miss rows; a zone of its own makes each SQL client see other times.',
  async examine({ ask }) {
    const [row] = await ask<Places>(
      `select pg_encoding_to_char(encoding) as encoding, current_setting('timezone') as zone,
         timestamp '2020-01-01' at time zone current_setting('timezone') = timestamptz '2020-01-01Z'
           and timestamp '2020-07-01' at time zone current_setting('timezone') = timestamptz '2020-07-01Z' as "isUtc",
         datcollversion as "madeWith", pg_database_collation_actual_version(oid) as "hasNow"
       from pg_database where datname = current_database()`,
    )
    const { encoding, zone, isUtc, madeWith, hasNow } = row!
    const found: Finding[] = []
    if (encoding !== 'UTF8')
      found.push(
        fail(
          `The database is encoded in ${encoding}.`,
          'Names and tags in other letters are refused, or stored wrong.',
          'Make a database with `encoding UTF8 template template0`, and carry the data over.',
        ),
      )
    if (madeWith !== null && hasNow !== null && madeWith !== hasNow)
      found.push(
        fail(
          `Its texts were sorted by version ${madeWith} of the collation, and the system has ${hasNow} now.`,
          'Indexes on texts may miss rows and let duplicates in.',
          'Run `reindex database` and then `alter database … refresh collation version`.',
        ),
      )
    if (!isUtc)
      found.push(
        warn(
          `The time zone of the server is ${zone}.`,
          "Times are stored and answered in UTC all the same; SQL logins see and write them in the server's zone.",
          "Set timezone = 'UTC' and reload.",
        ),
      )
    return found.length > 0 ? found : [ok(`${encoding}, time zone ${zone}.`, { ...row })]
  },
}
