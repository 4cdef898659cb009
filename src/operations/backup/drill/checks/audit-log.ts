import type pg from 'pg'
import type { AuditAnchor, ProofCheck } from '../proof-check.ts'
import { rememberedBefore } from './remembered-before.ts'

const TRIGGERS = ['audit_log_is_append_only', 'audit_log_is_not_truncated']

/**
 * Whether the audit log still is what it was: append-only, and up to where an earlier drill noted a digest of it exactly the same. The digest
 * leaves out actor and detail, which may hold personal data and be erased.
 */
export const auditLog: ProofCheck = {
  name: 'audit log',
  shows: 'the audit log is append-only, and what earlier drills saw of it is unchanged',
  async run({ core, remembered, clock }) {
    const { rows: triggers } = await core.client.query<{ name: string }>(
      `select tgname as name from pg_trigger where tgrelid = 'nomaly.audit_log'::regclass and tgenabled in ('O', 'A')`,
    )
    const missing = TRIGGERS.filter((name) => !triggers.some((trigger) => trigger.name === name))
    if (missing.length > 0)
      return {
        verdict: 'fail',
        says: `The audit log can be changed: ${missing.join(', ')} is missing or off.`,
      }
    const now = await anchorAt(core.client, undefined, new Date(clock()).toISOString())
    const anchor = rememberedBefore(remembered, now.lastId)?.auditLog
    const remember = { auditLog: now }
    const entries = Object.values(now.tenants).reduce((sum, tenant) => sum + tenant.entries, 0)
    if (anchor === undefined)
      return {
        verdict: 'ok',
        says: `${entries} entries; no earlier drill has noted what they were up to there.`,
        remember,
      }
    const again = await anchorAt(core.client, anchor.lastId, anchor.at)
    const changed = Object.entries(anchor.tenants).filter(([tenant, { entries: count, digest }]) => {
      const there = again.tenants[tenant]
      // A tenant that was removed has taken its entries along.
      if (there === undefined) return false
      return there.entries !== count || there.digest !== digest
    })
    const gone = Object.keys(anchor.tenants).filter((tenant) => again.tenants[tenant] === undefined)
    const removed = await tenantsThatRemain(core.client, gone)
    if (changed.length > 0 || removed.length > 0)
      return {
        verdict: 'fail',
        says: `Entries of the audit log have been changed or removed since the drill of ${anchor.at}.`,
        details: [...changed.map(([tenant]) => tenant), ...removed].map(
          (tenant) => `tenant ${tenant || 'none'}`,
        ),
      }
    return {
      verdict: 'ok',
      says: `${entries} entries; those up to the drill of ${anchor.at} are exactly the same.`,
      remember,
    }
  },
}

async function anchorAt(client: pg.Client, lastId: string | undefined, at: string): Promise<AuditAnchor> {
  const { rows } = await client.query<{ tenant: string; entries: number; last: string; digest: string }>(
    `select coalesce(tenant_id::text, '') as tenant, count(*)::float8 as entries, max(id)::text as last,
       encode(sha256(convert_to(string_agg(md5(concat_ws('|', id, tenant_id, extract(epoch from at), action, subject_kind, subject_id)),
         '' order by id), 'UTF8')), 'hex') as digest
     from nomaly.audit_log where id <= coalesce($1::int8, 9223372036854775807) group by 1`,
    [lastId ?? null],
  )
  const last = rows.reduce((max, row) => (BigInt(row.last) > max ? BigInt(row.last) : max), 0n)
  return {
    at,
    lastId: lastId ?? String(last),
    tenants: Object.fromEntries(rows.map(({ tenant, entries, digest }) => [tenant, { entries, digest }])),
  }
}

/** Those of these tenants that there still are: they have lost all their entries. */
async function tenantsThatRemain(client: pg.Client, tenants: readonly string[]): Promise<string[]> {
  const { rows } = await client.query<{ id: string }>(
    'select id::text as id from nomaly.tenants where id::text = any($1::text[])',
    [tenants],
  )
  const there = new Set(rows.map(({ id }) => id))
  return tenants.filter((tenant) => tenant === '' || there.has(tenant))
}
