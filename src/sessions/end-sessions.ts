import type { TenantScope } from '../access/tenant-scope.ts'
import type { Connection } from '../database/connection.ts'
import type { SessionOwner } from './list-sessions.ts'
import type { Revocation } from './revocations.ts'

/** What is ended before its time, by whom, and why. */
export interface Ending {
  readonly kind: Revocation['kind']
  /** Of a session or a key; `null` for the sessions of links printed at the start, and for a whole tenant. */
  readonly subject: string | null
  /** Of one session: only where it is this owner's. */
  readonly owner?: SessionOwner
  readonly actor: string
  readonly reason: string
}

export interface EndedSessions {
  readonly revocation: Revocation
  /** Hashes of the secrets that are over. */
  readonly hashes: readonly Buffer[]
}

/** Ends sessions in the transaction of a connection, and says so in the audit log. Of a single session that is over already, nothing. */
export async function endSessions(
  connection: Connection,
  scope: TenantScope,
  { kind, subject, owner = 'tenant', actor, reason }: Ending,
): Promise<EndedSessions | undefined> {
  const { tenantId } = scope
  const rows = await connection.query<{ hash: Buffer }>(
    `select token_hash as hash from nomaly.sessions
     where tenant_id = $1 and ($4 or key_id is not distinct from $5)
       and case $2 when 'session' then id = $3 when 'key' then key_id is not distinct from $3 else true end`,
    [tenantId, kind, subject, owner === 'tenant', owner === 'tenant' ? null : owner.keyId],
  )
  if (kind === 'session' && rows.length === 0) return undefined
  const [ended] = await connection.query<{ number: string }>(
    'select nomaly.end_sessions($1, $2, $3) as number',
    [tenantId, kind, subject],
  )
  const detail = kind === 'session' ? { reason } : { reason, sessions: rows.length }
  await auditSession(connection, scope, { actor, action: 'session.end', kind, subject, detail })
  return {
    revocation: { number: Number(ended!.number), tenantId, kind, subject },
    hashes: rows.map(({ hash }) => hash),
  }
}

/** Adds to the audit log what became of a session, or of all of a key or tenant. */
export async function auditSession(
  connection: Connection,
  { tenantId }: TenantScope,
  entry: Pick<Ending, 'actor' | 'kind' | 'subject'> & {
    readonly action: string
    readonly detail: Readonly<Record<string, unknown>>
  },
): Promise<void> {
  await connection.query(
    `insert into nomaly.audit_log (tenant_id, actor, action, subject_kind, subject_id, detail)
     values ($1, $2, $3, $4, $5, $6)`,
    [tenantId, entry.actor, entry.action, entry.kind, entry.subject ?? '', JSON.stringify(entry.detail)],
  )
}
