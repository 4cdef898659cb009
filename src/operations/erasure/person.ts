import type { AdminSession } from './admin-session.ts'
import type { UserSubject } from './erasure.ts'
import { recognise } from './name-hashes.ts'

/** A person as the rows of a database know them. */
export interface Person {
  readonly tenantId: string | undefined
  readonly keyIds: readonly string[]
  readonly accountIds: readonly string[]
  /** E-mail addresses of these accounts. */
  readonly emails: readonly string[]
  /** Browsers that are signed in with these keys. */
  readonly sessionIds: readonly string[]
  /** Actors of {@link tenantId} only, such as `key:NAME`. */
  readonly inTenant: readonly string[]
  /** Actors over all tenants, such as `operator:NAME`. */
  readonly everywhere: readonly string[]
}

/** Every place where it is noted who did something, with its tenant where it has one. */
const ACTORS = `select actor, tenant_id from nomaly.audit_log
  union select state_changed_by, tenant_id from nomaly.anomalies where state_changed_by is not null
  union select updated_by, tenant_id from nomaly.settings
  union select changed_by, tenant_id from nomaly.live_entries
  union select changed_by, tenant_id from nomaly.live_versions
  union select requested_by, null from nomaly.erasures`

/** The person that an entry of the ledger speaks of, in the database as it is; also where it was restored from an earlier time. */
export async function findPerson(
  core: AdminSession,
  { tenantId, keyIds, accountIds, inTenant, everywhere }: UserSubject,
  signal: AbortSignal,
): Promise<Person> {
  const rows = await core.ask<{ actor: string; tenant_id: string | null }>('nomaly_system', ACTORS)
  const ofTenant = rows.filter((row) => tenantId !== undefined && row.tenant_id === tenantId)
  const operators = rows.map(({ actor }) => actor).filter((actor) => actor.startsWith('operator:'))
  const sessions = await core.ask<{ id: string }>(
    'nomaly_system',
    'select id from nomaly.sessions where key_id = any($1::uuid[])',
    [keyIds],
  )
  return {
    tenantId,
    keyIds,
    accountIds,
    emails: await findEmails(core, accountIds),
    sessionIds: sessions.map(({ id }) => id),
    inTenant: await recognise(
      ofTenant.map(({ actor }) => actor).filter((actor) => actor.startsWith('key:')),
      inTenant,
      signal,
    ),
    everywhere: await recognise(operators, everywhere, signal),
  }
}

async function findEmails(core: AdminSession, accountIds: readonly string[]): Promise<string[]> {
  if (accountIds.length === 0) return []
  const rows = await core.ask<{ email: string }>(
    'nomaly_system',
    'select distinct email from nomaly.users where id = any($1::uuid[])',
    [accountIds],
  )
  return rows.map(({ email }) => email)
}
