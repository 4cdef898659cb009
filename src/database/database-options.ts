import type { TenantScope } from '../access/tenant-scope.ts'
import type { DatabaseRole, Isolation } from './connection.ts'
import type { PoolOptions } from './pool.ts'
import type { Freshness } from './position.ts'
import type { Budget } from './purpose.ts'

/** Times are asked anew at each statement: they may change while it is in use. */
export interface DatabaseOptions extends PoolOptions {
  readonly statementTimeoutMs: number
  /** How long COMMIT may take before its outcome is looked up on another connection. */
  readonly commitTimeoutMs: number
  /** How long a statement of a transaction that names no time of its own waits for a lock; as long as it may take where it is left out. */
  readonly lockTimeoutMs?: number
  /** Whose share of the connections what names no budget takes; that of `web` where it is left out. */
  readonly budget?: Budget
  /** From 0 to 1. */
  readonly random?: () => number
}

export interface TransactionOptions {
  readonly role: DatabaseRole
  readonly scope?: TenantScope
  readonly signal?: AbortSignal | undefined
  /** Longest time of one statement; the pool's default otherwise. */
  readonly timeoutMs?: number
  /** Whose share of the connections it takes; that of what runs now otherwise. */
  readonly budget?: Budget
}

export interface WriteOptions extends TransactionOptions {
  /** Whether the work may be run again, as a whole, where nothing of it was stored. Not where it uses something up, such as a stream. */
  readonly retry?: boolean
  /** What other transactions it may see the effects of. Stricter ones collide more: let them be run again. */
  readonly isolation?: Isolation
}

export interface SessionOptions extends TransactionOptions {
  /** Whether the connection may be held without a statement, for the lock that it has. */
  readonly mayIdle?: boolean
}

export interface ReadOptions extends TransactionOptions {
  readonly freshness: Freshness
}
