import type { Identity } from '../access/identity.ts'
import { createSecretToken, hashSecretToken } from '../access/secret-token.ts'
import type { TenantScope } from '../access/tenant-scope.ts'
import type { Database } from '../database/database.ts'
import type { Page, PageRequest } from '../database/paging.ts'
import type { Position } from '../database/position.ts'
import { NomalyError } from '../errors.ts'
import { describeDevice } from './describe-device.ts'
import type { EndedSessions, Ending } from './end-sessions.ts'
import { type ListedSession, listSessions, type SessionOwner } from './list-sessions.ts'
import type { Revocations } from './revocations.ts'
import type { SessionLimits } from './session-limits.ts'
import type { FoundSession, Session, SessionStore } from './session-store.ts'
import type { SessionTable } from './session-table.ts'

export interface SessionsOptions {
  readonly database: Database
  readonly table: SessionTable
  readonly store: SessionStore
  readonly revocations: Revocations
  readonly limits: SessionLimits
  readonly log: (message: string) => void
  readonly now: () => number
}

/** What a browser's cookie is to be. */
export interface BrowserSecret {
  readonly secret: string
  /** Until the session's absolute end. */
  readonly maxAgeSeconds: number
}

/** A session as a request was found to belong to. */
export interface Authenticated {
  readonly identity: Identity & { readonly session: Session }
  /** Gives the session a new secret; `undefined` where it is not time, or another request has just done so. */
  readonly renew: () => Promise<BrowserSecret | undefined>
}

interface Entry {
  readonly found: Promise<FoundSession | undefined>
  readonly untilMs: number
}

/** How long what was found is believed; what was revoked meanwhile is not, whatever stands here. */
const CACHE_MS = 5_000
const CACHE_SIZE = 10_000
const SECRET = /^session_[\w-]{43}$/

/** Browsers that are signed in: who they are, for how long, and what ends them. */
export class Sessions {
  readonly limits: SessionLimits
  readonly #options: SessionsOptions
  readonly #cache = new Map<string, Entry>()
  /** When sessions were last used here, by id. */
  readonly #seen = new Map<string, number>()
  /** Sessions that are being given a new secret. */
  readonly #renewing = new Set<string>()

  constructor(options: SessionsOptions) {
    this.#options = options
    this.limits = options.limits
  }

  /** What keeps the copies. */
  get storeName(): SessionStore['name'] {
    return this.#options.store.name
  }

  /**
   * Uses a sign-in link up and signs a browser in.
   * @param former the secret that this browser had: that session ends.
   * @throws NomalyError `unauthenticated` where the link is unknown, used or expired.
   */
  async signIn(
    link: string,
    { userAgent, former }: { userAgent: string | undefined; former?: string | undefined },
  ): Promise<BrowserSecret> {
    const { table, limits } = this.#options
    const isPlausible = /^link_[\w-]{43}$/.test(link)
    const replaces = isPlausible && former !== undefined ? await this.#alive(former) : undefined
    const { token: secret, hash } = createSecretToken('session')
    const { value: created, position } = isPlausible
      ? await table.create({
          linkHash: hashSecretToken(link),
          secretHash: hash,
          device: describeDevice(userAgent),
          lifetimeMs: limits.lifetimeMs,
          replaces: replaces?.session,
          limit: limits.perKey,
        })
      : { value: undefined, position: undefined }
    if (created === undefined)
      throw new NomalyError('unauthenticated', 'This sign-in link was used already, or has expired.', {
        hint: 'Print a fresh one with `nomaly link`.',
      })
    for (const ended of created.ended) await this.#takeLeave(ended)
    if (replaces !== undefined && replaces.session.tenantId !== created.session.tenantId)
      await this.end(replaces.session, {
        kind: 'session',
        subject: replaces.session.id,
        actor: 'browser',
        reason: 'signed in anew',
      })
    if (position !== undefined) await this.keepPosition(created.session, position)
    return { secret, maxAgeSeconds: Math.floor(limits.lifetimeMs / 1_000) }
  }

  /**
   * Who a cookie's secret belongs to, or `undefined`. A former secret that comes after its time ends the session.
   * @throws NomalyError `unavailable` where it cannot be found out whether the session was revoked.
   */
  async authenticate(secret: string): Promise<Authenticated | undefined> {
    const found = await this.#alive(secret)
    if (found === undefined) return undefined
    this.#use(secret, found)
    return { identity: identityOf(found.session), renew: () => this.#renew(secret, found) }
  }

  /** Whether a session is still to be accepted, whatever its secret has become meanwhile; counts as use. */
  async isAlive(session: Session): Promise<boolean> {
    const { revocations, table, limits, now } = this.#options
    await revocations.settle()
    if (await revocations.cover(session)) return false
    if (now() >= session.expiresAtMs) return false
    if (now() - Math.max(session.seenAtMs, this.#seen.get(session.id) ?? 0) >= limits.noteEveryMs)
      this.#note(session, (used) => table.noteUse(used))
    return true
  }

  /** The sessions of a key or of a tenant that are alive, newest first. */
  list(scope: TenantScope, owner: SessionOwner, page: PageRequest): Promise<Page<ListedSession>> {
    const { database, limits, now } = this.#options
    return listSessions(database, scope, { owner, nowMs: now(), idleMs: limits.idleMs, page })
  }

  /** Ends sessions at once here, and elsewhere within {@link REVOCATION_BOUND_MS}. Answers whether there was anything to end. */
  async end(scope: TenantScope, ending: Ending): Promise<boolean> {
    const ended = await this.#options.table.end(scope, ending)
    if (ended !== undefined) await this.#takeLeave(ended)
    return ended !== undefined
  }

  /** Reads what was revoked; until that has succeeded no session is accepted here. */
  async heed(): Promise<void> {
    const { revocations } = this.#options
    try {
      await revocations.renew()
    } catch {
      revocations.distrust()
    }
  }

  /** Keeps where a write of a session stands; that it could not be kept is no reason to fail the write. */
  async keepPosition(session: Session, position: Position): Promise<void> {
    const { store, log } = this.#options
    await store
      .keepPosition(session, position)
      .catch((error: Error) => log(`Where a write of a session stands was not kept: ${error.message}`))
  }

  /** Where the newest writes of a session stand, one of each database; of one that is missing the primary is to be read. */
  positions(session: Session): Promise<readonly Position[]> {
    return this.#options.store.positions(session)
  }

  /** Removes sessions that are over. */
  prune(): Promise<void> {
    return this.#options.table.prune(this.limits.idleMs + this.limits.noteEveryMs)
  }

  /** What is found for a secret and may be accepted now. */
  async #alive(secret: string): Promise<FoundSession | undefined> {
    if (!SECRET.test(secret)) return undefined
    const { revocations, limits, now } = this.#options
    const found = await this.#find(secret)
    if (found === undefined || (await revocations.cover(found.session))) return undefined
    const { session, confirmedAtMs } = found
    const seenAtMs = Math.max(session.seenAtMs, this.#seen.get(session.id) ?? 0)
    if (now() >= session.expiresAtMs || now() - seenAtMs > limits.idleMs) return undefined
    const isStolen =
      found.secret === 'lapsed' ||
      (found.secret === 'former' && confirmedAtMs !== undefined && now() - confirmedAtMs > limits.graceMs)
    if (!isStolen) return found
    await this.end(session, {
      kind: 'session',
      subject: session.id,
      actor: 'system',
      reason: 'a former secret was used: one of the two who had it is not the browser',
    })
    return undefined
  }

  #find(secret: string): Promise<FoundSession | undefined> {
    const { store, now } = this.#options
    const known = this.#cache.get(secret)
    if (known !== undefined && known.untilMs > now()) return known.found
    if (this.#cache.size >= CACHE_SIZE) this.#cache.clear()
    // Asked once for many requests at the same time; a no is remembered as well, so that guessing costs no more.
    const found = store.find(hashSecretToken(secret))
    const entry = { found, untilMs: now() + CACHE_MS }
    this.#cache.set(secret, entry)
    found.catch(() => {
      if (this.#cache.get(secret) === entry) this.#cache.delete(secret)
    })
    return found
  }

  /** A former secret's use is not noted: it has no copy, and soon gets a new one. */
  #use(secret: string, { session, secret: kind }: FoundSession): void {
    const { store, limits, now } = this.#options
    const lastMs = Math.max(session.seenAtMs, this.#seen.get(session.id) ?? 0)
    if (kind === 'current' && now() - lastMs >= limits.touchEveryMs)
      this.#note(session, (used) => store.touch(hashSecretToken(secret), used))
  }

  /** Notes that a session is used, beside the request: that is not worth waiting for, nor failing for. */
  #note(session: Session, note: (used: Session) => Promise<void>): void {
    const { log, now } = this.#options
    if (this.#seen.size >= CACHE_SIZE) this.#seen.clear()
    this.#seen.set(session.id, now())
    note({ ...session, seenAtMs: now() }).catch((error: Error) =>
      log(`The use of a session was not noted: ${error.message}`),
    )
  }

  async #renew(secret: string, found: FoundSession): Promise<BrowserSecret | undefined> {
    const { limits, now } = this.#options
    const { session } = found
    const ageMs = now() - session.rotatedAtMs
    // The former one is still used although a new one was given out: that never arrived.
    const isDue =
      found.secret === 'current'
        ? ageMs >= limits.rotateEveryMs
        : found.confirmedAtMs === undefined && ageMs > limits.graceMs
    if (!isDue || this.#renewing.has(session.id)) return undefined
    this.#renewing.add(session.id)
    try {
      return await this.#rotate(secret, session)
    } finally {
      this.#renewing.delete(session.id)
    }
  }

  async #rotate(secret: string, session: Session): Promise<BrowserSecret | undefined> {
    const { table, store, now } = this.#options
    const { token, hash } = createSecretToken('session')
    const oldHash = hashSecretToken(secret)
    const isRotated = await table.rotate(session, oldHash, hash)
    this.#cache.delete(secret)
    await store.forget([oldHash])
    if (!isRotated) return undefined
    return { secret: token, maxAgeSeconds: Math.max(1, Math.floor((session.expiresAtMs - now()) / 1_000)) }
  }

  async #takeLeave({ revocation, hashes }: EndedSessions): Promise<void> {
    this.#options.revocations.learn(revocation)
    await this.#options.store.forget(hashes)
  }
}

function identityOf(session: Session): Identity & { readonly session: Session } {
  return {
    scope: { tenantId: session.tenantId },
    tenantName: session.tenantName,
    role: session.role,
    actor: 'browser',
    via: 'browser',
    keyId: session.keyId,
    session,
  }
}
