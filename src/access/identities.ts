import type { Database } from '../database/database.ts'
import type { Identity } from './identity.ts'
import type { Role } from './roles.ts'
import { hashSecretToken } from './secret-token.ts'
import { insertSignInLink } from './sign-in-links.ts'
import type { TenantScope } from './tenant-scope.ts'

/** How long an answer, yes or no, is believed without asking again: the time a revocation may take to be felt where its notice is lost. */
const CACHE_MS = 5_000
const CACHE_SIZE = 10_000
/** How old the time of last use may get before it is written again. */
const USE_NOTED_EVERY_MS = 60_000

interface IdentityRow {
  readonly tenant_id: string
  readonly tenant_name: string
  readonly role: Role
  readonly name: string
  readonly key_id: string
  readonly used_at: Date | null
}

const KEY_QUERY = `select k.tenant_id, t.name as tenant_name, k.role, k.name, k.id as key_id, k.last_used_at as used_at
  from nomaly.api_keys k join nomaly.tenants t on t.id = k.tenant_id where k.key_hash = $1 and k.revoked_at is null`
const KEY_USED = 'update nomaly.api_keys set last_used_at = now() where key_hash = $1'

/** Finds out who holds a key, before any tenant is known: works as the system. */
export class Identities {
  readonly #database: Database
  readonly #now: () => number
  readonly #log: (message: string) => void
  readonly #cache = new Map<
    string,
    { readonly identity: Promise<Identity | undefined>; readonly untilMs: number }
  >()

  constructor(database: Database, log: (message: string) => void, now: () => number = Date.now) {
    this.#database = database
    this.#log = log
    this.#now = now
  }

  /** The holder of an API key, or `undefined`. */
  async byApiKey(key: string): Promise<Identity | undefined> {
    if (!/^nomaly_[\w-]{43}$/.test(key)) return undefined
    return this.#cached(key)
  }

  /**
   * A token for a link that signs one browser in, once, within a quarter of an hour.
   * @param keyId the key that asks for it: once it is revoked, the browser is signed out.
   */
  async createSignInToken(scope: TenantScope, role: Role, keyId?: string): Promise<string> {
    const { value } = await this.#database.transaction({ role: 'nomaly_system' }, (connection) =>
      insertSignInLink(connection, scope, role, keyId),
    )
    return value
  }

  /** Forgets what was resolved, so that a revoked key stops working here at once. */
  forget(): void {
    this.#cache.clear()
  }

  /** Asks once for many requests at the same time, and remembers a no as well: guessing costs no more than one look in five seconds. */
  #cached(token: string): Promise<Identity | undefined> {
    const known = this.#cache.get(token)
    if (known !== undefined && known.untilMs > this.#now()) return known.identity
    if (this.#cache.size >= CACHE_SIZE) this.#cache.clear()
    const identity = this.#find(hashSecretToken(token))
    const entry = { identity, untilMs: this.#now() + CACHE_MS }
    this.#cache.set(token, entry)
    identity.catch(() => {
      if (this.#cache.get(token) === entry) this.#cache.delete(token)
    })
    return identity
  }

  async #find(hash: Buffer): Promise<Identity | undefined> {
    const [row] = await this.#database.read({ role: 'nomaly_system', freshness: 'latest' }, (connection) =>
      connection.query<IdentityRow & Record<string, unknown>>(KEY_QUERY, [hash]),
    )
    if (row === undefined) return undefined
    if (this.#now() - (row.used_at?.getTime() ?? 0) > USE_NOTED_EVERY_MS)
      // Beside the request: that it was used is not worth waiting for, nor failing for.
      this.#write(KEY_USED, [hash]).catch((error: Error) =>
        this.#log(`The use of a key was not noted: ${error.message}`),
      )
    return {
      scope: { tenantId: row.tenant_id },
      tenantName: row.tenant_name,
      role: row.role,
      actor: `key:${row.name}`,
      via: 'key',
      keyId: row.key_id,
      session: undefined,
    }
  }

  async #write(text: string, values: readonly unknown[]): Promise<unknown[]> {
    const { value } = await this.#database.transaction({ role: 'nomaly_system' }, (connection) =>
      connection.query(text, values),
    )
    return value
  }
}
