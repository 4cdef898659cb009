import type { Database } from '../database/database.ts'
import { NomalyError } from '../errors.ts'
import type { Identity } from './identity.ts'
import type { Role } from './roles.ts'
import { createSecretToken, hashSecretToken } from './secret-token.ts'
import type { TenantScope } from './tenant-scope.ts'

const LINK_LIFETIME = '15 minutes'
const BROWSER_LIFETIME = '30 days'
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
  readonly key_id: string | null
  readonly used_at: Date | null
}

const KEY_QUERY = `select k.tenant_id, t.name as tenant_name, k.role, k.name, k.id as key_id, k.last_used_at as used_at
  from nomaly.api_keys k join nomaly.tenants t on t.id = k.tenant_id where k.key_hash = $1 and k.revoked_at is null`
const KEY_USED = 'update nomaly.api_keys set last_used_at = now() where key_hash = $1'
const BROWSER_QUERY = `select s.tenant_id, t.name as tenant_name, s.role, '' as name, s.key_id, s.last_seen_at as used_at
  from nomaly.browser_sessions s join nomaly.tenants t on t.id = s.tenant_id where s.token_hash = $1 and s.expires_at > now()`
const BROWSER_USED = 'update nomaly.browser_sessions set last_seen_at = now() where token_hash = $1'

/** Finds out who holds a key or a cookie, before any tenant is known: works as the system. */
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
    return this.#cached(key, (hash) =>
      this.#find(hash, KEY_QUERY, KEY_USED, ({ name }) => ({ actor: `key:${name}`, via: 'key' })),
    )
  }

  /** The browser that was signed in with this cookie, or `undefined`. */
  async byBrowserToken(token: string): Promise<Identity | undefined> {
    if (!/^browser_[\w-]{43}$/.test(token)) return undefined
    return this.#cached(token, (hash) =>
      this.#find(hash, BROWSER_QUERY, BROWSER_USED, () => ({ actor: 'browser', via: 'browser' })),
    )
  }

  /**
   * A token for a link that signs one browser in, once, within a quarter of an hour.
   * @param keyId the key that asks for it: once it is revoked, the browser is signed out.
   */
  async createSignInToken(scope: TenantScope, role: Role, keyId?: string): Promise<string> {
    const { token, hash } = createSecretToken('link')
    await this.#write(
      `insert into nomaly.sign_in_links (token_hash, tenant_id, role, key_id, expires_at)
       values ($1, $2, $3, $4, now() + interval '${LINK_LIFETIME}')`,
      [hash, scope.tenantId, role, keyId ?? null],
    )
    return token
  }

  /**
   * Uses a sign-in link up and answers the token for the browser's cookie.
   * @throws NomalyError `unauthenticated` where the link is unknown, used or expired.
   */
  async redeemSignInToken(token: string): Promise<string> {
    const browser = createSecretToken('browser')
    const isPlausible = /^link_[\w-]{43}$/.test(token)
    const rows = isPlausible ? await this.#redeem(hashSecretToken(token), browser.hash) : []
    if (rows.length === 0)
      throw new NomalyError('unauthenticated', 'This sign-in link was used already, or has expired.', {
        hint: 'Print a fresh one with `nomaly link`.',
      })
    return browser.token
  }

  async signOut(browserToken: string): Promise<void> {
    this.#cache.delete(browserToken)
    await this.#write('delete from nomaly.browser_sessions where token_hash = $1', [
      hashSecretToken(browserToken),
    ])
  }

  /** Forgets what was resolved, so that a revoked key stops working here at once. */
  forget(): void {
    this.#cache.clear()
  }

  async #redeem(linkHash: Buffer, browserHash: Buffer): Promise<unknown[]> {
    return this.#write(
      `with link as (
         update nomaly.sign_in_links set used_at = now()
         where token_hash = $1 and used_at is null and expires_at > now() returning tenant_id, role, key_id),
       swept as (delete from nomaly.sign_in_links where expires_at < now() - interval '1 day'),
       expired as (delete from nomaly.browser_sessions where expires_at < now()),
       noted as (
         insert into nomaly.audit_log (tenant_id, actor, action, subject_kind, subject_id)
         select tenant_id, 'browser', 'browser.sign-in', 'key', coalesce(key_id::text, '') from link)
       insert into nomaly.browser_sessions (token_hash, tenant_id, role, key_id, expires_at)
       select $2, tenant_id, role, key_id, now() + interval '${BROWSER_LIFETIME}' from link returning tenant_id`,
      [linkHash, browserHash],
    )
  }

  /** Asks once for many requests at the same time, and remembers a no as well: guessing costs no more than one look in five seconds. */
  #cached(
    token: string,
    find: (hash: Buffer) => Promise<Identity | undefined>,
  ): Promise<Identity | undefined> {
    const known = this.#cache.get(token)
    if (known !== undefined && known.untilMs > this.#now()) return known.identity
    if (this.#cache.size >= CACHE_SIZE) this.#cache.clear()
    const identity = find(hashSecretToken(token))
    const entry = { identity, untilMs: this.#now() + CACHE_MS }
    this.#cache.set(token, entry)
    identity.catch(() => {
      if (this.#cache.get(token) === entry) this.#cache.delete(token)
    })
    return identity
  }

  async #find(
    hash: Buffer,
    query: string,
    used: string,
    rest: (row: IdentityRow) => Pick<Identity, 'actor' | 'via'>,
  ): Promise<Identity | undefined> {
    const [row] = await this.#database.read({ role: 'nomaly_system', freshness: 'latest' }, (connection) =>
      connection.query<IdentityRow & Record<string, unknown>>(query, [hash]),
    )
    if (row === undefined) return undefined
    if (this.#now() - (row.used_at?.getTime() ?? 0) > USE_NOTED_EVERY_MS)
      // Beside the request: that it was used is not worth waiting for, nor failing for.
      this.#write(used, [hash]).catch((error: Error) =>
        this.#log(`The use of a key was not noted: ${error.message}`),
      )
    return {
      scope: { tenantId: row.tenant_id },
      tenantName: row.tenant_name,
      role: row.role,
      keyId: row.key_id ?? undefined,
      ...rest(row),
    }
  }

  async #write(text: string, values: readonly unknown[]): Promise<unknown[]> {
    const { value } = await this.#database.transaction({ role: 'nomaly_system' }, (connection) =>
      connection.query(text, values),
    )
    return value
  }
}
