import type { Role } from '../access/roles.ts'
import type { TenantScope } from '../access/tenant-scope.ts'
import type { Database } from '../database/database.ts'
import { cursorKey, decodeCursor, type Page, type PageRequest, toPage } from '../database/paging.ts'

/** A session as it is shown to those who may end it. */
export interface ListedSession {
  readonly id: string
  readonly keyId: string | null
  /** `null`: of a link printed at the start. */
  readonly keyName: string | null
  readonly role: Role
  readonly device: string
  readonly createdAt: Date
  readonly lastSeenAt: Date
  readonly expiresAt: Date
}

/** Whose sessions: of a key, of the links printed at the start (`null`), or of the whole tenant. */
export type SessionOwner = { readonly keyId: string | null } | 'tenant'

export interface SessionQuery {
  readonly owner: SessionOwner
  readonly nowMs: number
  /** After how long without use they are over. */
  readonly idleMs: number
  readonly page: PageRequest
}

/** The sessions that are alive, newest first; seen through the tenant's own eyes. */
export async function listSessions(
  database: Database,
  scope: TenantScope,
  { owner, nowMs, idleMs, page }: SessionQuery,
): Promise<Page<ListedSession>> {
  const before = page.cursor === undefined ? null : decodeCursor(page.cursor, [cursorKey.integer])[0]
  const isTenant = owner === 'tenant'
  const rows = await database.read({ role: 'nomaly_app', scope, freshness: 'latest' }, (connection) =>
    connection.query<{
      id: string
      number: string
      key_id: string | null
      key_name: string | null
      role: Role
      device: string
      created_at: Date
      last_seen_at: Date
      expires_at: Date
    }>(
      `select s.id, s.number, s.key_id, k.name as key_name, s.role, s.device, s.created_at, s.last_seen_at, s.expires_at
       from nomaly.sessions s left join nomaly.api_keys k on k.id = s.key_id
       where ($1 or s.key_id is not distinct from $2) and ($3::bigint is null or s.number < $3)
         and s.expires_at > $4 and s.last_seen_at > $5
       order by s.number desc limit $6`,
      [
        isTenant,
        isTenant ? null : owner.keyId,
        before,
        new Date(nowMs),
        new Date(nowMs - idleMs),
        page.limit + 1,
      ],
    ),
  )
  return toPage(
    rows,
    page.limit,
    (row) => ({
      id: row.id,
      keyId: row.key_id,
      keyName: row.key_name,
      role: row.role,
      device: row.device,
      createdAt: row.created_at,
      lastSeenAt: row.last_seen_at,
      expiresAt: row.expires_at,
    }),
    (row) => [Number(row.number)],
  )
}
