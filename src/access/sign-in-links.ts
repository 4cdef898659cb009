import type { Connection, Executor } from '../database/connection.ts'
import type { Role } from './roles.ts'
import { createSecretToken } from './secret-token.ts'
import type { TenantScope } from './tenant-scope.ts'

const LINK_LIFETIME = '15 minutes'

/** Links that sign one browser in, once, within a quarter of an hour. */
export class SignInLinks {
  readonly #run: Executor
  readonly #scope: TenantScope

  constructor(run: Executor, scope: TenantScope) {
    this.#run = run
    this.#scope = scope
  }

  /**
   * The token of a new one.
   * @param keyId the key that asks for it: once it is revoked, the browser is signed out.
   */
  create(role: Role, keyId?: string): Promise<string> {
    // Tenants see no links, not even their own.
    return this.#run((connection) =>
      connection.as('nomaly_system', 'nomaly_app', () =>
        insertSignInLink(connection, this.#scope, role, keyId),
      ),
    )
  }
}

/** Makes a link as the system, and answers its token. */
export async function insertSignInLink(
  connection: Connection,
  { tenantId }: TenantScope,
  role: Role,
  keyId?: string,
): Promise<string> {
  const { token, hash } = createSecretToken('link')
  await connection.query(
    `insert into nomaly.sign_in_links (token_hash, tenant_id, role, key_id, expires_at)
     values ($1, $2, $3, $4, now() + interval '${LINK_LIFETIME}')`,
    [hash, tenantId, role, keyId ?? null],
  )
  return token
}
