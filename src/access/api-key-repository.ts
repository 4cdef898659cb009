import type { Executor } from '../database/connection.ts'
import { notFound } from '../errors.ts'
import type { Role } from './roles.ts'
import { createSecretToken } from './secret-token.ts'
import type { TenantScope } from './tenant-scope.ts'

export interface ApiKey {
  readonly id: string
  readonly name: string
  readonly role: Role
  /** The first characters, for people to recognise it by. */
  readonly prefix: string
  readonly createdAt: Date
  readonly lastUsedAt: Date | null
}

const COLUMNS = ['id', 'name', 'role', 'prefix', 'created_at', 'last_used_at'] as const

/** The API keys of one tenant; revoked ones are not listed. */
export class ApiKeyRepository {
  readonly #run: Executor
  readonly #scope: TenantScope

  constructor(run: Executor, scope: TenantScope) {
    this.#run = run
    this.#scope = scope
  }

  async list(): Promise<ApiKey[]> {
    const rows = await this.#run(({ kysely }) =>
      kysely
        .selectFrom('api_keys')
        .select(COLUMNS)
        .where('revoked_at', 'is', null)
        .orderBy('created_at')
        .limit(1000)
        .execute(),
    )
    return rows.map(toApiKey)
  }

  /** Makes a key; its text is answered here and never again. */
  async create(name: string, role: Role): Promise<{ readonly apiKey: ApiKey; readonly key: string }> {
    const { token, hash } = createSecretToken('nomaly')
    const row = await this.#run(({ kysely }) =>
      kysely
        .insertInto('api_keys')
        .values({ tenant_id: this.#scope.tenantId, name, role, key_hash: hash, prefix: token.slice(0, 12) })
        .returning(COLUMNS)
        .executeTakeFirstOrThrow(),
    )
    return { apiKey: toApiKey(row), key: token }
  }

  /** Ends a key, and the browsers that were signed in with it. @throws NomalyError `not_found` where the tenant has no such key. */
  async revoke(id: string): Promise<void> {
    const result = await this.#run(({ kysely }) =>
      kysely
        .updateTable('api_keys')
        .set({ revoked_at: new Date() })
        .where('id', '=', id)
        .where('revoked_at', 'is', null)
        .executeTakeFirst(),
    )
    if (result.numUpdatedRows === 0n) throw notFound('key', id)
    await this.#run(async (connection) => {
      await connection.kysely.deleteFrom('sign_in_links').where('key_id', '=', id).execute()
      await connection.query("select nomaly.end_sessions($1, 'key', $2)", [this.#scope.tenantId, id])
    })
  }
}

function toApiKey(row: {
  id: string
  name: string
  role: string
  prefix: string
  created_at: Date
  last_used_at: Date | null
}): ApiKey {
  return {
    id: row.id,
    name: row.name,
    role: row.role as Role,
    prefix: row.prefix,
    createdAt: row.created_at,
    lastUsedAt: row.last_used_at,
  }
}
