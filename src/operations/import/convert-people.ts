import type { ConvertContext } from './convert-context.ts'
import type { Shaped } from './convert-row.ts'
import { RowProblem } from './converted.ts'
import { tenantName } from './fit-name.ts'
import { isStorableJson, jsonObject } from './python-json.ts'
import type { RowReader } from './row-reader.ts'
import { type TargetRow, TARGETS } from './target-table.ts'

const BCRYPT = /^\$2[abxy]\$[0-9]{2}\$[./A-Za-z0-9]{53}$/

/** A tenant, and beside it what the original kept of its plan and limits; only that where everything goes into one tenant. */
export function convertTenant(reader: RowReader, context: ConvertContext): readonly Shaped[] {
  const id = reader.id('id')
  const original = reader.requiredText(1_000, 'name')
  const createdAt = reader.timeOr(context.modifiedAt, ['created_at', 'updated_at'], 'the time of the file')
  const record = jsonObject({ name: JSON.stringify(original), columns: reader.rest() })
  const keptIn = (tenantId: string): TargetRow => ({
    table: TARGETS.records,
    values: { tenant_id: tenantId, source_table: 'tenants', source_id: id, record },
  })
  if (context.isOneTenant) {
    reader.fill('its rows go into the tenant that was named')
    return [{ tenantId: context.tenantId, row: keptIn(context.tenantId) }]
  }
  const { name, fallback } = tenantName(original, id)
  if (name !== original) reader.fill('name: made to fit what a tenant may be called')
  const row: TargetRow = {
    table: TARGETS.tenants,
    values: { id, name, created_at: createdAt },
    named: { column: 'name', fallback, within: [] },
  }
  return [{ tenantId: id, row, after: [keptIn(id)] }]
}

/** A person, once in each tenant that they have a grant in; in the one for rows of no tenant where they have none. */
export function convertUser(reader: RowReader, context: ConvertContext): readonly Shaped[] {
  const id = reader.id('id')
  const granted = context.tenantsOfUser(id)
  if (granted.length === 0 && !context.isOneTenant)
    reader.fill('tenant: has no grant in any, and goes where rows of no tenant go')
  const tenants = granted.length === 0 ? [context.tenantId] : granted
  const status = reader.text(50, 'status')?.toLowerCase() ?? 'inactive'
  if (reader.raw('status') === null) reader.fill('status ← inactive')
  const hash = reader.raw('password_hash')
  const isBcrypt = typeof hash === 'string' && BCRYPT.test(hash)
  if (hash !== null && !isBcrypt) reader.fill('password: the hash is no bcrypt and was left out')
  const createdAt = reader.timeOr(context.modifiedAt, ['created_at', 'updated_at'], 'the time of the file')
  const values = {
    id,
    email: reader.requiredText(320, 'email'),
    username: reader.requiredText(200, 'username'),
    first_name: reader.text(200, 'first_name'),
    last_name: reader.text(200, 'last_name'),
    status,
    password_hash: isBcrypt ? hash : null,
    settings: reader.object('settings').text,
    created_at: createdAt,
    updated_at: reader.timeOr(createdAt, ['updated_at'], 'created_at'),
    last_login_at: reader.time('last_login_at'),
    email_verified_at: reader.time('email_verified_at'),
  }
  if (reader.raw('two_factor_secret') !== null) reader.fill('two-factor secret: left out, to be set up again')
  return tenants.map((tenantId) => ({
    tenantId,
    row: { table: TARGETS.users, values: { tenant_id: tenantId, ...values } },
  }))
}

/** A role that a person has in a tenant, by its name: the original writes that where an id is expected. */
export function convertGrant(reader: RowReader, context: ConvertContext): readonly Shaped[] {
  const userId = reader.id('user_id')
  const tenantId = context.tenantOf(reader.raw('tenant_id'))
  const given = reader.requiredText(100, 'role_name', 'role', 'role_id')
  const permissions = reader.json('permissions')
  if (permissions !== undefined && !isStorableJson(permissions.value))
    throw new RowProblem('unstorable', 'permissions contain characters that cannot be stored')
  const values = {
    tenant_id: tenantId,
    user_id: userId,
    role: context.roleName(given) ?? given,
    permissions: permissions?.text ?? null,
    granted_at: reader.timeOr(
      context.modifiedAt,
      ['granted_at', 'created_at', 'assigned_at'],
      'the time of the file',
    ),
    granted_by: reader.optionalId('granted_by'),
    expires_at: reader.time('expires_at'),
  }
  return [
    {
      tenantId,
      row: { table: TARGETS.grants, values },
      needs: [{ table: 'users', id: userId, reason: 'user_missing' }],
    },
  ]
}
