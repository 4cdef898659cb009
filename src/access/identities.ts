import type { Database } from '../database/database.ts'
import { NomalyError } from '../errors.ts'
import type { Identity } from './identity.ts'
import type { Role } from './roles.ts'
import { createSecretToken, hashSecretToken } from './secret-token.ts'
import type { TenantScope } from './tenant-scope.ts'

const LINK_LIFETIME = '15 minutes'
const BROWSER_LIFETIME = '30 days'
/** How long a resolved key is believed without asking again: the time a revocation may take to be felt. */
const CACHE_MS = 5_000
const CACHE_SIZE = 10_000

interface IdentityRow {
  readonly tenant_id: string
  readonly tenant_name: string
  readonly role: Role
  readonly name: string
}

/** Finds out who holds a key or a cookie, before any tenant is known: works as the system. */
export class Identities {
  readonly #database: Database
  readonly #now: () => number
  readonly #cache = new Map<string, { readonly identity: Identity; readonly until: number }>()

  constructor(database: Database, now: () => number = Date.now) {
    this.#database = database
    this.#now = now
  }

  /** The holder of an API key, or `undefined`. */
  async byApiKey(key: string): Promise<Identity | undefined> {
    if (!/^nomaly_[\w-]{43}$/.test(key)) return undefined
    return this.#cached(key, async (hash) =>
      this.#one(
        `with used as (
           update nomaly.api_keys set last_used_at = now()
           where key_hash = $1 and revoked_at is null returning tenant_id, role, name)
         select used.tenant_id, used.role, used.name, t.name as tenant_name
         from used join nomaly.tenants t on t.id = used.tenant_id`,
        hash,
        (row) => ({ actor: `key:${row.name}`, via: 'key' }),
      ),
    )
  }

  /** The browser that was signed in with this cookie, or `undefined`. */
  async byBrowserToken(token: string): Promise<Identity | undefined> {
    if (!/^browser_[\w-]{43}$/.test(token)) return undefined
    return this.#cached(token, async (hash) =>
      this.#one(
        `with seen as (
           update nomaly.browser_sessions set last_seen_at = now()
           where token_hash = $1 and expires_at > now() returning tenant_id, role)
         select seen.tenant_id, seen.role, '' as name, t.name as tenant_name
         from seen join nomaly.tenants t on t.id = seen.tenant_id`,
        hash,
        () => ({ actor: 'browser', via: 'browser' }),
      ),
    )
  }

  /** A token for a link that signs one browser in, once, within a quarter of an hour. */
  async createSignInToken(scope: TenantScope, role: Role): Promise<string> {
    const { token, hash } = createSecretToken('link')
    await this.#system(
      `insert into nomaly.sign_in_links (token_hash, tenant_id, role, expires_at)
       values ($1, $2, $3, now() + interval '${LINK_LIFETIME}')`,
      [hash, scope.tenantId, role],
    )
    return token
  }

  /**
   * Uses a sign-in link up and answers the token for the browser's cookie.
   * @throws NomalyError `unauthenticated` where the link is unknown, used or expired.
   */
  async redeemSignInToken(token: string): Promise<string> {
    const browser = createSecretToken('browser')
    const rows = await this.#system(
      `with link as (
         update nomaly.sign_in_links set used_at = now()
         where token_hash = $1 and used_at is null and expires_at > now() returning tenant_id, role),
       swept as (delete from nomaly.sign_in_links where expires_at < now() - interval '1 day'),
       expired as (delete from nomaly.browser_sessions where expires_at < now())
       insert into nomaly.browser_sessions (token_hash, tenant_id, role, expires_at)
       select $2, tenant_id, role, now() + interval '${BROWSER_LIFETIME}' from link returning tenant_id`,
      [hashSecretToken(token), browser.hash],
    )
    if (rows.length === 0)
      throw new NomalyError('unauthenticated', 'This sign-in link was used already, or has expired.', {
        hint: 'Print a fresh one with `nomaly link`.',
      })
    return browser.token
  }

  async signOut(browserToken: string): Promise<void> {
    this.#cache.delete(browserToken)
    await this.#system('delete from nomaly.browser_sessions where token_hash = $1 returning token_hash', [
      hashSecretToken(browserToken),
    ])
  }

  /** Forgets what was resolved, so that a revoked key stops working here at once. */
  forget(): void {
    this.#cache.clear()
  }

  async #cached(token: string, find: (hash: Buffer) => Promise<Identity | undefined>): Promise<Identity | undefined> {
    const known = this.#cache.get(token)
    if (known !== undefined && known.until > this.#now()) return known.identity
    const identity = await find(hashSecretToken(token))
    if (identity === undefined) {
      this.#cache.delete(token)
      return undefined
    }
    if (this.#cache.size >= CACHE_SIZE) this.#cache.clear()
    this.#cache.set(token, { identity, until: this.#now() + CACHE_MS })
    return identity
  }

  async #one(
    text: string,
    hash: Buffer,
    rest: (row: IdentityRow) => Pick<Identity, 'actor' | 'via'>,
  ): Promise<Identity | undefined> {
    const [row] = await this.#system<IdentityRow>(text, [hash])
    if (row === undefined) return undefined
    return { scope: { tenantId: row.tenant_id }, tenantName: row.tenant_name, role: row.role, ...rest(row) }
  }

  async #system<Row extends object>(text: string, values: readonly unknown[]): Promise<Row[]> {
    const { value } = await this.#database.transaction({ role: 'nomaly_system' }, (connection) =>
      connection.query<Row & Record<string, unknown>>(text, values),
    )
    return value
  }
}
