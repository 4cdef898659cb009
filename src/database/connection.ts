import { Kysely, PostgresDialect } from 'kysely'
import type pg from 'pg'
import type { TenantScope } from '../access/tenant-scope.ts'
import { NomalyError } from '../errors.ts'
import type { DB as CoreTables } from './core-tables.ts'

/** The two roles that statements run under: bound by row-level security, and the system's own with explicit policies. */
export type DatabaseRole = 'nomaly_app' | 'nomaly_system'

/** One connection inside one transaction. */
export class Connection {
  readonly #client: pg.PoolClient
  /** What opens the transaction, where that goes out together with the first statements. */
  #opening: readonly string[]
  #phase: 'unopened' | 'open' | 'over'
  #kysely: Kysely<CoreTables> | undefined

  constructor(client: pg.PoolClient, opening: readonly string[] = []) {
    this.#client = client
    this.#opening = opening
    this.#phase = opening.length === 0 ? 'open' : 'unopened'
  }

  /** For COPY streams and cursors, after a first statement; everything else goes through the methods. */
  get client(): pg.PoolClient {
    this.#requirePhase('open')
    return this.#client
  }

  /** Whether its transaction has been begun, and has not been ended by {@link batch}. */
  get isOpen(): boolean {
    return this.#phase === 'open'
  }

  /** Runs one statement; int8 and numeric columns arrive as text, float8 and int4 as numbers. */
  async query<Row extends pg.QueryResultRow>(text: string, values?: readonly unknown[]): Promise<Row[]> {
    if (this.#phase === 'unopened') await this.batch([])
    const result = await this.client.query<Row>(text, values as unknown[] | undefined)
    return result.rows
  }

  /**
   * Runs statements without parameters in one round trip, and answers the rows of each, as arrays. Where one fails, those after it are not
   * run. With `commit` the transaction, which must be a read's, ends with them.
   */
  async batch(statements: readonly string[], end?: 'commit'): Promise<unknown[][][]> {
    if (this.#phase === 'over') this.#requirePhase('open')
    const opening = this.#opening
    this.#opening = []
    this.#phase = 'open'
    const text = [...opening, ...statements, ...(end === undefined ? [] : [end])].join('; ')
    const answered: unknown = await this.#client.query({ text, rowMode: 'array' })
    if (end !== undefined) this.#phase = 'over'
    const results = [answered].flat() as pg.QueryArrayResult<unknown[]>[]
    return results.slice(opening.length, opening.length + statements.length).map(({ rows }) => rows)
  }

  /** Changes the role for the rest of the transaction. */
  async become(role: DatabaseRole): Promise<void> {
    await this.batch([`set local role ${role}`])
  }

  /** Runs work under another role, and returns to the first one. */
  async as<T>(role: DatabaseRole, back: DatabaseRole, work: () => Promise<T>): Promise<T> {
    await this.become(role)
    const value = await work()
    await this.become(back)
    return value
  }

  /** The typed query builder on this very connection. */
  get kysely(): Kysely<CoreTables> {
    this.#kysely ??= new Kysely<CoreTables>({
      dialect: new PostgresDialect({
        pool: {
          // The client belongs to the transaction: kysely borrows it and never closes it.
          connect: async () => {
            if (this.#phase === 'unopened') await this.batch([])
            return { query: this.client.query.bind(this.#client), release: () => {} }
          },
          end: async () => {},
          options: {},
        },
      }),
    }).withSchema('nomaly')
    return this.#kysely
  }

  #requirePhase(phase: 'open'): void {
    if (this.#phase !== phase)
      throw new NomalyError('internal', `A statement was to be run in a transaction that is ${this.#phase}.`)
  }
}

/** How far a transaction is kept from others that run at the same time (PostgreSQL manual, 13.2). */
export type Isolation = 'read committed' | 'repeatable read' | 'serializable'

/** What a transaction is kept to. */
export interface TransactionLimits {
  /** How long the server lets it stand without a statement, in milliseconds; as long as a statement may take otherwise. */
  readonly idleMs?: number
  /** How long a statement waits for a lock, in milliseconds; as long as it may take otherwise. */
  readonly lockMs?: number
  /** A read sees one snapshot throughout; a write sees what others committed, and locks what it changes, unless another one is named. */
  readonly isolation?: Isolation
}

const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/

/**
 * The statements that open a transaction under a role and a tenant.
 * The tenant is checked to be a UUID: `set local` takes no parameters.
 */
export function openingStatements(
  mode: 'read write' | 'read only',
  role: DatabaseRole,
  scope: TenantScope | undefined,
  statementTimeoutMs: number,
  limits: TransactionLimits = {},
): string[] {
  if (scope !== undefined && !UUID.test(scope.tenantId))
    throw new NomalyError('internal', 'A tenant id that is not a UUID reached the database layer.')
  const { idleMs = statementTimeoutMs, lockMs = statementTimeoutMs } = limits
  const { isolation = mode === 'read only' ? 'repeatable read' : 'read committed' } = limits
  return [
    `begin isolation level ${isolation} ${mode}`,
    `set local role ${role}`,
    `set local nomaly.tenant_id = '${scope?.tenantId ?? ''}'`,
    `set local statement_timeout = ${wholeMs(statementTimeoutMs)}`,
    `set local lock_timeout = ${wholeMs(lockMs)}`,
    `set local idle_in_transaction_session_timeout = ${wholeMs(idleMs)}`,
  ]
}

function wholeMs(ms: number): number {
  return Math.max(1, Math.round(ms))
}

/** Runs work on a connection: that of the open unit of work, or one of a read of its own. */
export type Executor = <T>(work: (connection: Connection) => Promise<T>) => Promise<T>
