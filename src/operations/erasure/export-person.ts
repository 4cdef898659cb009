import type { AdminSession } from './admin-session.ts'
import type { UserSubject } from './erasure.ts'
import { findPerson } from './person.ts'
import { personValues, PERSON_RECORDS, WITH_PERSON } from './person-records.ts'

const AT_ONCE = 1_000

export interface PersonExport {
  /** As they were asked for. */
  readonly name: string
  readonly subject: UserSubject
  readonly now: Date
  readonly signal: AbortSignal
}

/**
 * Everything that is kept of a person as one JSON document, in parts, all of it as of one moment: an array for each kind of rows. Secrets and their
 * hashes are left out.
 */
export async function* exportPerson(
  core: AdminSession,
  { name, subject, now, signal }: PersonExport,
): AsyncGenerator<string, void, void> {
  const { client } = core
  const values = personValues(await findPerson(core, subject, signal))
  yield `{\n  "person": ${JSON.stringify(name)},\n  "exportedAt": ${JSON.stringify(now.toISOString())}`
  await client.query(
    'begin transaction isolation level repeatable read read only; set local role nomaly_system',
  )
  try {
    for (const { name: kind, table, where, shows, orderBy } of PERSON_RECORDS) {
      yield `,\n  ${JSON.stringify(kind)}: [`
      await client.query(
        `declare rows cursor for ${WITH_PERSON} select ${shows} from ${table} t where ${where} order by ${orderBy}`,
        [...values],
      )
      let isFirst = true
      for (;;) {
        signal.throwIfAborted()
        const { rows } = await client.query<Record<string, unknown>>(`fetch ${AT_ONCE} from rows`)
        for (const row of rows) {
          yield `${isFirst ? '' : ','}\n    ${JSON.stringify(inCamelCase(row))}`
          isFirst = false
        }
        if (rows.length < AT_ONCE) break
      }
      await client.query('close rows')
      yield isFirst ? ']' : '\n  ]'
    }
  } finally {
    await client.query('rollback').catch(() => {})
  }
  yield '\n}\n'
}

function inCamelCase(row: Readonly<Record<string, unknown>>): Record<string, unknown> {
  return Object.fromEntries(
    Object.entries(row).map(([column, value]) => [
      column.replaceAll(/_([a-z])/g, (_, letter: string) => letter.toUpperCase()),
      value,
    ]),
  )
}
