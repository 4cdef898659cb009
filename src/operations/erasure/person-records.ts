import type { AdminRole } from './admin-session.ts'
import type { Person } from './person.ts'

/** Rows that are kept of a person, in one table. */
export interface PersonRecords {
  /** What they are, as an export and a receipt call them. */
  readonly name: string
  readonly table: string
  /** Which rows of the table, whose alias is `t`: a condition over {@link WITH_PERSON}. */
  readonly where: string
  /** What an export shows of them, as columns; hashes of secrets are left out, for they say nothing. */
  readonly shows: string
  readonly orderBy: string
  /** How they are erased: the rows go, or the assignments take the name out. */
  readonly erase: 'delete' | PersonChange
}

/** How rows that belong to others lose a name. */
export interface PersonChange {
  readonly set: string
  /** Which rows have it still, where that is not the same question. */
  readonly where?: string
  readonly as: AdminRole
}

/** What every statement on {@link PERSON_RECORDS} begins with: the person, and what takes the place of their name. */
export const WITH_PERSON = `with who as (select $1::text[] as keys, $2::text[] as sessions, $3::text[] as own, $4::text[] as everywhere,
  $5::uuid as tenant, $6::text as pseudonym, $7::text[] as accounts, $8::text[] as emails)`

/** The values of {@link WITH_PERSON}. */
export function personValues(person: Person, pseudonym?: string): readonly unknown[] {
  const { keyIds, sessionIds, inTenant, everywhere, tenantId, accountIds, emails } = person
  return [keyIds, sessionIds, inTenant, everywhere, tenantId ?? null, pseudonym ?? null, accountIds, emails]
}

const KEYS = '(select keys from who)'
const SESSIONS = '(select sessions from who)'
const ACCOUNTS = '(select accounts from who)'
const PSEUDONYM = '(select pseudonym from who)'

function did(column: string): string {
  return `(t.${column} = any((select own from who)::text[]) and t.tenant_id = (select tenant from who)
    or t.${column} = any((select everywhere from who)::text[]))`
}

/**
 * What another system wrote of an account, under its id or address: as a whole word, for `an@x.org` is not `jan@x.org`, nor `an@x.org.uk`. A
 * text in JSON has a new line as two characters, of which the second is a letter.
 */
const NAMES_ACCOUNT = String.raw`exists (select from who, unnest(accounts || emails) word where t.record::text ~*
  ('(^|[^[:alnum:]._%+-]|\\[bfnrt])' || regexp_replace(word, '([^[:alnum:]])', '\\\1', 'g')
    || '($|[^[:alnum:]._-]|\.($|[^[:alnum:]]))'))`

/** An entry that speaks of their key, or of a browser that was signed in with it. */
const ABOUT = `(t.subject_kind = 'key' and t.subject_id = any(${KEYS}::text[])
  or t.subject_kind = 'session' and (t.detail ->> 'key' = any(${KEYS}::text[]) or t.subject_id = any(${SESSIONS}::text[])))`

/**
 * Everything that is kept of a person, in the order in which it is erased. A table that says who did what belongs here: a test looks through
 * the columns of all tables.
 */
export const PERSON_RECORDS: readonly PersonRecords[] = [
  {
    name: 'importedRecords',
    table: 'nomaly.imported_records',
    where: NAMES_ACCOUNT,
    shows: 'tenant_id, source_table, source_id, record',
    orderBy: 'source_table, source_id',
    erase: 'delete',
  },
  {
    name: 'quarantined',
    table: 'nomaly.import_quarantine',
    where: NAMES_ACCOUNT,
    shows: 'tenant_id, source_table, source_id, reason, record',
    orderBy: 'source_table, place',
    erase: 'delete',
  },
  {
    name: 'grantsGiven',
    table: 'nomaly.role_grants',
    where: `t.granted_by = any(${ACCOUNTS}::uuid[])`,
    shows: 'tenant_id, role, granted_at',
    orderBy: 'granted_at',
    erase: { set: 'granted_by = null', as: 'nomaly_system' },
  },
  {
    name: 'roleGrants',
    table: 'nomaly.role_grants',
    where: `t.user_id = any(${ACCOUNTS}::uuid[])`,
    shows: 'tenant_id, user_id, role, permissions, granted_at, expires_at',
    orderBy: 'granted_at',
    erase: 'delete',
  },
  {
    name: 'accounts',
    table: 'nomaly.users',
    where: `t.id = any(${ACCOUNTS}::uuid[])`,
    shows:
      'tenant_id, id, email, username, first_name, last_name, status, settings, created_at, updated_at, last_login_at, email_verified_at',
    orderBy: 'created_at',
    erase: 'delete',
  },
  {
    name: 'requests',
    table: 'nomaly.idempotency_keys',
    where: `t.principal in (select 'key:' || unnest(keys) from who union select 'session:' || unnest(sessions) from who)`,
    shows: 'principal, status, created_at, expires_at',
    orderBy: 'created_at',
    erase: 'delete',
  },
  {
    name: 'auditEntries',
    table: 'nomaly.audit_log',
    where: `${did('actor')} or ${ABOUT}`,
    shows: 'id, tenant_id, at, actor, action, subject_kind, subject_id, detail',
    orderBy: 'id',
    erase: {
      // What they wrote themselves, and what would tell them by their device or the name of their key.
      set: `actor = case when ${did('actor')} then ${PSEUDONYM} else actor end,
        detail = detail - 'note' - case when ${ABOUT} then '{name,device,key}'::text[] else '{}' end`,
      where: `${did('actor')} or ${ABOUT} and t.detail ?| '{name,device,key}'::text[]`,
      as: 'nomaly_owner',
    },
  },
  {
    name: 'findingsJudged',
    table: 'nomaly.anomalies',
    where: did('state_changed_by'),
    shows: 'id, tenant_id, metric, state, note, state_changed_at, state_changed_by',
    orderBy: 'state_changed_at',
    erase: { set: `state_changed_by = ${PSEUDONYM}, note = null`, as: 'nomaly_system' },
  },
  {
    name: 'settingsChanged',
    table: 'nomaly.settings',
    where: did('updated_by'),
    shows: 'tenant_id, name, updated_at, updated_by',
    orderBy: 'updated_at',
    erase: { set: `updated_by = ${PSEUDONYM}`, as: 'nomaly_system' },
  },
  {
    name: 'flagsChanged',
    table: 'nomaly.live_entries',
    where: did('changed_by'),
    shows: 'tenant_id, noun, key, version, changed_at, changed_by',
    orderBy: 'changed_at',
    erase: { set: `changed_by = ${PSEUDONYM}`, as: 'nomaly_system' },
  },
  {
    name: 'flagVersions',
    table: 'nomaly.live_versions',
    where: did('changed_by'),
    shows: 'tenant_id, noun, key, version, note, changed_at, changed_by',
    orderBy: 'id',
    erase: { set: `changed_by = ${PSEUDONYM}, note = ''`, as: 'nomaly_owner' },
  },
  {
    name: 'erasuresRequested',
    table: 'nomaly.erasures',
    where: 't.requested_by = any((select everywhere from who)::text[])',
    shows: 'id, kind, requested_at, requested_by',
    orderBy: 'requested_at',
    erase: {
      set: `requested_by = ${PSEUDONYM}, receipt = receipt || jsonb_build_object('requestedBy', ${PSEUDONYM})`,
      as: 'nomaly_owner',
    },
  },
  {
    name: 'signInLinks',
    table: 'nomaly.sign_in_links',
    where: `t.key_id = any(${KEYS}::uuid[])`,
    shows: 'tenant_id, role, key_id, created_at, expires_at, used_at',
    orderBy: 'created_at',
    erase: 'delete',
  },
  {
    name: 'sessions',
    table: 'nomaly.sessions',
    where: `t.key_id = any(${KEYS}::uuid[])`,
    shows: 'id, tenant_id, key_id, role, device, created_at, last_seen_at, expires_at',
    orderBy: 'created_at',
    erase: 'delete',
  },
  {
    name: 'keys',
    table: 'nomaly.api_keys',
    where: `t.id = any(${KEYS}::uuid[])`,
    shows: 'id, tenant_id, name, role, prefix, created_at, last_used_at, revoked_at',
    orderBy: 'created_at',
    erase: 'delete',
  },
]
