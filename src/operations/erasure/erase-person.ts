import type { AdminSession, AdminTransaction } from './admin-session.ts'
import { type ErasedCounts, type Erasure, pseudonymOf, type UserSubject } from './erasure.ts'
import { forgetAnswers } from './forget-answers.ts'
import { findPerson } from './person.ts'
import { type PersonRecords, personValues, PERSON_RECORDS, WITH_PERSON } from './person-records.ts'

/** Removes what is kept of a person from a core database, in one transaction: rows that are theirs go, and others lose their name. */
export async function erasePerson(
  core: AdminSession,
  erasure: Erasure,
  subject: UserSubject,
  signal: AbortSignal,
): Promise<ErasedCounts> {
  const values = personValues(await findPerson(core, subject, signal), pseudonymOf(erasure))
  return core.transaction(async (run) => {
    await run.query("select set_config('nomaly.erasure', $1, true)", [erasure.id])
    const counts: Record<string, number> = {}
    for (const records of PERSON_RECORDS) counts[records.name] = await eraseRecords(run, records, values)
    if (subject.tenantId === undefined) return counts
    await run.become('nomaly_system')
    // A copy of a session that Redis has, or a process, is worth nothing from here on.
    for (const keyId of subject.keyIds)
      await run.query("select nomaly.end_sessions($1, 'key', $2)", [subject.tenantId, keyId])
    return { ...counts, sealedAnswers: await forgetAnswers(run, subject.tenantId) }
  })
}

async function eraseRecords(
  run: AdminTransaction,
  { table, where, erase }: PersonRecords,
  values: readonly unknown[],
): Promise<number> {
  await run.become(erase === 'delete' ? 'nomaly_system' : erase.as)
  const change =
    erase === 'delete'
      ? `delete from ${table} t where ${where}`
      : `update ${table} t set ${erase.set} where ${erase.where ?? where}`
  return run.change(`${WITH_PERSON} ${change}`, values)
}

/** How many rows of each kind are kept of a person. */
export async function countPerson(
  core: AdminSession,
  subject: UserSubject,
  signal: AbortSignal,
): Promise<ErasedCounts> {
  const values = personValues(await findPerson(core, subject, signal))
  const counts: Record<string, number> = {}
  for (const { name, table, where } of PERSON_RECORDS) {
    const [row] = await core.ask<{ count: string }>(
      'nomaly_system',
      `${WITH_PERSON} select count(*) as count from ${table} t where ${where}`,
      values,
    )
    counts[name] = Number(row!.count)
  }
  return counts
}
