import { NomalyError, notFound } from '../../errors.ts'
import type { SeriesId } from '../../metrics/metrics-engine.ts'
import type { AdminSession } from './admin-session.ts'
import { countPerson } from './erase-person.ts'
import type { SeriesSubject, TenantSubject, UserSubject } from './erasure.ts'
import { hashNames } from './name-hashes.ts'

/** What is to be erased or exported, as an operator names it, and as it is shown to them. */
export interface Named<S> {
  readonly subject: S
  /** A few words that say what it is. */
  readonly says: string
}

const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/

/** A tenant by name or id. @throws NomalyError `not_found`. */
export async function resolveTenant(core: AdminSession, nameOrId: string): Promise<Named<TenantSubject>> {
  const [tenant] = await core.ask<{ id: string; name: string }>(
    'nomaly_system',
    'select id, name from nomaly.tenants where name = $1 or id::text = $1',
    [nameOrId],
  )
  if (tenant === undefined) throw notFound('tenant', nameOrId)
  return { subject: { kind: 'tenant', tenantId: tenant.id }, says: `tenant ${tenant.name}` }
}

interface KeyRow {
  readonly id: string
  readonly name: string
  readonly tenant_id: string
  readonly tenant_name: string
}

/**
 * A person by the name or id of their API key, the address of their account and, where no tenant is named, their account as an operator.
 * @throws NomalyError `not_found`; `conflict` where keys of that name are in several tenants, or several accounts have it.
 */
export async function resolveUser(
  core: AdminSession,
  nameOrId: string,
  tenant: string | undefined,
): Promise<Named<UserSubject>> {
  const tenantId = tenant === undefined ? undefined : (await resolveTenant(core, tenant)).subject.tenantId
  const keys = await core.ask<KeyRow>(
    'nomaly_system',
    `select k.id, k.name, k.tenant_id, t.name as tenant_name from nomaly.api_keys k join nomaly.tenants t on t.id = k.tenant_id
     where (k.name = $1 or k.id::text = $1) and ($2::uuid is null or k.tenant_id = $2) order by t.name, k.created_at`,
    [nameOrId, tenantId ?? null],
  )
  const tenants = [...new Set(keys.map((key) => key.tenant_name))]
  if (tenants.length > 1)
    throw new NomalyError(
      'conflict',
      `There are keys "${nameOrId}" in several tenants: ${tenants.join(', ')}.`,
      {
        hint: 'Say which one is meant with --tenant.',
      },
    )
  const accountIds = await findAccounts(core, nameOrId, tenantId)
  // Somebody whose key is gone may still be named where they did something.
  const owner = keys[0]?.tenant_id ?? tenantId
  const names = [...new Set(UUID.test(nameOrId) ? keys.map(({ name }) => name) : [nameOrId])]
  const inTenant = owner === undefined ? [] : names.map((name) => `key:${name}`)
  const everywhere = tenant === undefined ? names.map((name) => `operator:${name}`) : []
  const subject: UserSubject = {
    kind: 'user',
    ...(owner === undefined ? {} : { tenantId: owner }),
    keyIds: keys.map(({ id }) => id),
    accountIds,
    inTenant: await hashNames(inTenant),
    everywhere: await hashNames(everywhere),
  }
  const where = tenants.length === 0 ? '' : ` of tenant ${tenants[0]}`
  return { subject, says: `${nameOrId}${where}` }
}

/**
 * The account that came from another system: by id, address or name. One person has the same id in each tenant.
 * @throws NomalyError `conflict` where there are several: what is erased does not come back.
 */
async function findAccounts(
  core: AdminSession,
  nameOrId: string,
  tenantId: string | undefined,
): Promise<string[]> {
  const rows = await core.ask<{ id: string; tenants: string[] }>(
    'nomaly_system',
    `select u.id, array_agg(t.name order by t.name) as tenants
     from nomaly.users u join nomaly.tenants t on t.id = u.tenant_id
     where (lower(u.email) = lower($1) or u.username = $1 or u.id::text = $1) and ($2::uuid is null or u.tenant_id = $2)
     group by u.id order by u.id`,
    [nameOrId, tenantId ?? null],
  )
  if (rows.length > 1)
    throw new NomalyError(
      'conflict',
      `There are ${rows.length} accounts "${nameOrId}": ${rows.map(({ id, tenants }) => `${id} of ${tenants.join(', ')}`).join('; ')}.`,
      { hint: 'Name one by its id, or by its address together with --tenant.' },
    )
  return rows.map(({ id }) => id)
}

/** @throws NomalyError `not_found` where nothing is kept of them. */
export async function requireKnown(
  core: AdminSession,
  name: string,
  subject: UserSubject,
  signal: AbortSignal,
): Promise<void> {
  const counts = Object.values(await countPerson(core, subject, signal))
  if (counts.some((number) => number > 0)) return
  throw new NomalyError('not_found', `Nothing is kept of "${name}".`, {
    hint: 'Name them as their API key is named, or by its id; `nomaly keys list` shows both.',
  })
}

/** @throws NomalyError `conflict` where nobody could administer the tenant afterwards. */
export async function requireOtherAdmin(
  core: AdminSession,
  { tenantId, keyIds }: UserSubject,
): Promise<void> {
  if (tenantId === undefined || keyIds.length === 0) return
  const [row] = await core.ask<{ own: boolean; others: boolean }>(
    'nomaly_system',
    `select coalesce(bool_or(id = any($2::uuid[])), false) as own, coalesce(bool_or(id <> all($2::uuid[])), false) as others
     from nomaly.api_keys where tenant_id = $1 and role = 'admin' and revoked_at is null`,
    [tenantId, keyIds],
  )
  if (row!.own && !row!.others)
    throw new NomalyError(
      'conflict',
      'Theirs is the only admin key of the tenant: nobody could administer it afterwards.',
      {
        hint: 'Make another one first, with `nomaly keys create --role admin`.',
      },
    )
}

interface SeriesRow {
  readonly tenant_id: string
  readonly source_id: string
  readonly series: SeriesId[]
}

/** Series by id. @throws NomalyError `not_found`; `conflict` where they are of several tenants, or of another one than is named. */
export async function resolveSeries(
  core: AdminSession,
  metrics: AdminSession,
  ids: readonly SeriesId[],
  tenant: string | undefined,
): Promise<Named<SeriesSubject>> {
  const wanted = tenant === undefined ? undefined : (await resolveTenant(core, tenant)).subject.tenantId
  const rows = await metrics.ask<SeriesRow>(
    'nomaly_system',
    `select tenant_id, source_id, array_agg(id order by id) as series from metrics.series where id = any($1::int4[])
     group by 1, 2 order by 1, 2`,
    [ids],
  )
  const found = new Set(rows.flatMap(({ series }) => series))
  const missing = ids.find((id) => !found.has(id))
  if (missing !== undefined)
    throw new NomalyError('not_found', `There is no series ${missing}.`, {
      hint: 'List those of a dataset with `nomaly series list DATASET`.',
    })
  const tenantId = rows[0]!.tenant_id
  if (rows.some((row) => row.tenant_id !== (wanted ?? tenantId)))
    throw new NomalyError(
      'conflict',
      'These series are not all of one tenant, or not of the one that is named.',
      {
        hint: 'Erase those of one tenant at a time.',
      },
    )
  const sources = rows.map(({ source_id: id, series }) => ({ id, series }))
  return { subject: { kind: 'series', tenantId, sources }, says: `series ${ids.join(', ')}` }
}
