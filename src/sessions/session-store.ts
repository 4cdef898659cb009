import type { Role } from '../access/roles.ts'
import type { Position } from '../database/position.ts'

/** A browser that is signed in. */
export interface Session {
  readonly id: string
  /** Grows from session to session; a revocation ends those with a smaller number than its own. */
  readonly number: number
  readonly tenantId: string
  readonly tenantName: string
  /** The key that made the link; `undefined` for a link printed at the start. */
  readonly keyId: string | undefined
  readonly role: Role
  readonly createdAtMs: number
  /** When it was last used, as far as is known here. */
  readonly seenAtMs: number
  /** The same as PostgreSQL knows it. */
  readonly notedAtMs: number
  /** Its absolute end. */
  readonly expiresAtMs: number
  /** How often its secret was made anew, and when it last was. */
  readonly generation: number
  readonly rotatedAtMs: number
}

/** What belongs to the hash of a secret. */
export interface FoundSession {
  readonly session: Session
  /** `former`: the one before the newest. `lapsed`: given out after the former one, and replaced without ever having been used. */
  readonly secret: 'current' | 'former' | 'lapsed'
  /** When the newest secret was first used; `undefined` while it was not. */
  readonly confirmedAtMs: number | undefined
}

/**
 * Where sessions are looked up, and what changes with their use is kept. Their beginning, every new secret and their end stand in PostgreSQL,
 * whichever store it is: what a store has lost or brought back neither ends a session nor revives one.
 */
export interface SessionStore {
  readonly name: 'postgres' | 'redis'
  /**
   * The session that a secret belongs to. It may have been revoked a moment ago: who asks looks.
   * @throws NomalyError `unavailable` where neither store can tell.
   */
  find(secretHash: Buffer): Promise<FoundSession | undefined>
  /** Notes that it was used with its newest secret. */
  touch(secretHash: Buffer, session: Session): Promise<void>
  /** Lets go of secrets that are over: saves room, and is never relied upon. */
  forget(secretHashes: readonly Buffer[]): Promise<void>
  /** Keeps where a write of the session stands: the larger one within a timeline, the newer write otherwise. */
  keepPosition(session: Session, position: Position): Promise<void>
  /** Where its newest writes stand, one of each database; of one that is missing it is not known, and the primary is to be read. */
  positions(session: Session): Promise<readonly Position[]>
}

/** For how long, in milliseconds, a revocation of another process may go unnoticed here; afterwards no session is accepted until PostgreSQL answers. */
export const REVOCATION_BOUND_MS = 5_000
