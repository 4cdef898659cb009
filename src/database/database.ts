import { randomUUID } from 'node:crypto'
import type pg from 'pg'
import { cancelQuery } from './cancel-query.ts'
import { establishCommit } from './commit-outcome.ts'
import { Connection, type OpeningCheck, openingStatements, type TransactionLimits } from './connection.ts'
import type {
  DatabaseOptions,
  ReadOptions,
  SessionOptions,
  TransactionOptions,
  WriteOptions,
} from './database-options.ts'
import {
  CORE_DATABASE,
  type DatabaseLabel,
  isConnectionLoss,
  isReadOnly,
  toNomalyError,
} from './database-errors.ts'
import type { Lease } from './lease.ts'
import { ConnectionPool, type LeaseRequest, type PoolUse } from './pool.ts'
import type { Committed, Position } from './position.ts'
import { POSITION_QUERY, type PositionRow, readSystemId, toPosition } from './position-query.ts'
import { type Budget, currentPurpose } from './purpose.ts'
import { openReplicas, type Replicas } from './replicas/open-replicas.ts'
import { committing, type ReadGate, readOnEither } from './replicas/read-gate.ts'
import { sendCommit, UnreplicatedCommit } from './send-commit.ts'
import type { TransactionHold } from './transaction-hold.ts'
import { heldForTooLong, LostConnection, notReplicated, UncertainCommit } from './transaction-errors.ts'
import { type RetryReason, withRetries } from './transaction-retries.ts'

export type { DatabaseOptions, ReadOptions, SessionOptions, TransactionOptions, WriteOptions }

/** The server may stand a moment longer without a statement than this process lets it, so that the log can say who it was. */
const IDLE_GRACE_MS = 5_000

/** A pool of connections to one PostgreSQL database, and what makes its transactions safe to acknowledge. */
export class Database implements AsyncDisposable {
  readonly #pool: ConnectionPool
  readonly #options: DatabaseOptions
  /** Clients whose state is unknown: closed, not reused, when they come back. */
  readonly #broken = new WeakSet<pg.PoolClient>()
  readonly #label: DatabaseLabel
  readonly #retries: Record<RetryReason, number> = { collision: 0, loss: 0 }
  #systemId: string | undefined
  /** The standbys that reads are made on where they are new enough; `undefined` where there are none. */
  readonly replicas: Replicas<Database> | undefined

  constructor(options: DatabaseOptions) {
    this.#options = options
    this.#label = options.label ?? CORE_DATABASE
    this.#pool = new ConnectionPool(options)
    this.replicas = openReplicas(options, (standby) => new Database(standby))
  }

  /** How the pool is used right now. */
  get poolUse(): PoolUse {
    return this.#pool.use
  }

  /** Holds up what begins, while the database changes its leader in order. */
  get hold(): TransactionHold {
    return this.#pool.hold
  }

  /** How often transactions were run again, since the process began. */
  get retryCounts(): Readonly<Record<RetryReason, number>> {
    return this.#retries
  }

  /** The most connections that a budget may have at once. */
  roomFor(budget: Budget): number {
    return this.#pool.roomFor(budget)
  }

  /** Has `listener` hear how long each who got a connection has waited for it, in milliseconds. */
  onWait(listener: (budget: Budget, waitedMs: number) => void): void {
    this.#pool.onWait(listener)
  }

  /**
   * Runs `work` in one transaction and answers after COMMIT, with the position of the commit.
   * @throws NomalyError `unknown_outcome` when neither commit nor abort could be established, or a standby that was to have it may not.
   */
  async transaction<T>(
    options: WriteOptions,
    work: (connection: Connection) => Promise<T>,
  ): Promise<Committed<T>> {
    if (options.retry !== true) return this.#transactionOnce(options, work)
    const { signal } = options
    const { random = Math.random } = this.#options
    const onRetry = (reason: RetryReason): void => {
      this.#retries[reason] += 1
    }
    return withRetries(() => this.#transactionOnce(options, work), { signal, random, onRetry })
  }

  async #transactionOnce<T>(
    options: WriteOptions,
    work: (connection: Connection) => Promise<T>,
  ): Promise<Committed<T>> {
    const marker = randomUUID()
    try {
      return await this.#withClient(options, async (client, stopCancelling) => {
        const value = await this.#inTransaction(client, 'read write', options, work)
        // A commit that has begun is finished: cancelled half-way, its outcome would have to be guessed.
        stopCancelling()
        return { value, position: await this.#commit(client, marker, value) }
      })
    } catch (error) {
      if (!(error instanceof UncertainCommit)) throw error
      // Only now is the connection back in the pool: in a failover every one of them may be uncertain at once.
      await establishCommit(marker, error.cause, (look) => this.#withClient({ role: 'nomaly_system' }, look))
      return { value: error.value as T, position: await this.position() }
    }
  }

  /** Runs `work` in one read-only transaction that sees one snapshot, on a server where that is no older than asked; once more where a standby fails. */
  async read<T>(options: ReadOptions, work: (connection: Connection) => Promise<T>): Promise<T> {
    const readOn = (database: Database, gate?: ReadGate): Promise<T> =>
      database.#withClient(options, (client) => {
        const read = (check?: OpeningCheck): Promise<T> =>
          database.#inTransaction(client, 'read only', options, committing(work, options), check)
        return gate === undefined ? read() : gate(client, read)
      })
    return this.replicas === undefined
      ? readOn(this)
      : this.replicas.read(readOnEither(this, options, readOn))
  }

  /**
   * Runs `work` on a connection outside any transaction, for statements that make transactions of their own. The connection is closed
   * afterwards, and with it goes what was locked or set.
   */
  async session<T>(options: SessionOptions, work: (connection: Connection) => Promise<T>): Promise<T> {
    // Through a pooler that lends servers by the transaction, locks and settings would be left to whoever comes next.
    const isDirect = this.#options.directUrl !== undefined
    const lease = (request: LeaseRequest): Promise<Lease> => {
      const wish = { ...request, mayIdle: options.mayIdle === true }
      return isDirect ? this.#pool.leaseDirect(wish) : this.#pool.lease(wish)
    }
    return this.#withClient(
      options,
      async (client) => {
        const timeoutMs = options.timeoutMs ?? this.#options.statementTimeoutMs
        this.#broken.add(client)
        await client.query(
          `set role ${options.role}; set statement_timeout = ${Math.max(1, Math.round(timeoutMs))}`,
        )
        return work(new Connection(client))
      },
      lease,
    )
  }

  /** Whether something that lends servers to several clients stands in between: the key of a connection is not that of its server then. */
  async isPooled(): Promise<boolean> {
    return this.#withClient({ role: 'nomaly_system' }, async (client) => {
      const { rows } = await client.query<{ pid: number }>('select pg_backend_pid() as pid')
      return rows[0]!.pid !== (client as unknown as { readonly processID: number }).processID
    })
  }

  /** The position of the newest write, for readers that want to see everything so far. */
  async position(): Promise<Position> {
    return this.#withClient({ role: 'nomaly_system' }, async (client) => {
      this.#systemId ??= await readSystemId(client)
      const result = await client.query<PositionRow>(POSITION_QUERY)
      return toPosition(result.rows[0]!, this.#systemId)
    })
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.replicas?.[Symbol.asyncDispose]()
    await this.#pool[Symbol.asyncDispose]()
  }

  async #withClient<T>(
    options: TransactionOptions,
    work: (client: pg.PoolClient, stopCancelling: () => void) => Promise<T>,
    take: (request: LeaseRequest) => Promise<Lease> = (request) => this.#pool.lease(request),
  ): Promise<T> {
    options.signal?.throwIfAborted()
    const lease = await this.#lease(options, take)
    const { client } = lease
    // A connection that was told to cancel is not used again: the request may arrive late, and hit somebody else's statement.
    const cancel = (): void => {
      this.#broken.add(client)
      void cancelQuery(client)
    }
    const stopCancelling = (): void => options.signal?.removeEventListener('abort', cancel)
    options.signal?.addEventListener('abort', cancel, { once: true })
    try {
      return await this.hold.within(() => work(client, stopCancelling))
    } catch (error) {
      if (isConnectionLoss(error) || isReadOnly(error) || error instanceof LostConnection)
        this.#broken.add(client)
      if (error instanceof UncertainCommit) throw error
      if (options.signal?.aborted === true) throw options.signal.reason
      if (lease.ending === 'idle') throw heldForTooLong(error)
      throw toNomalyError(error instanceof LostConnection ? error.cause : error, this.#label)
    } finally {
      stopCancelling()
      // Whatever went wrong above: no connection goes back into the pool inside a transaction.
      lease.release(this.#broken.has(client) || client.getTransactionStatus() !== 'I')
    }
  }

  async #lease(
    { signal, budget, timeoutMs = this.#options.statementTimeoutMs }: TransactionOptions,
    take: (request: LeaseRequest) => Promise<Lease>,
  ): Promise<Lease> {
    const { applicationName, budget: own = 'web', commitTimeoutMs } = this.#options
    const current = currentPurpose() ?? { budget: own, label: applicationName }
    const purpose = budget === undefined ? current : { ...current, budget }
    try {
      return await take({ purpose, signal, timeoutMs: Math.max(timeoutMs, commitTimeoutMs) })
    } catch (error) {
      throw signal?.aborted === true ? signal.reason : toNomalyError(error, this.#label)
    }
  }

  /** Opens a transaction and runs `work` in it; whatever fails, the transaction is over when this throws. */
  async #inTransaction<T>(
    client: pg.PoolClient,
    mode: 'read write' | 'read only',
    options: WriteOptions,
    work: (connection: Connection) => Promise<T>,
    check?: OpeningCheck,
  ): Promise<T> {
    const timeoutMs = options.timeoutMs ?? this.#options.statementTimeoutMs
    const opening = openingStatements(mode, options.role, options.scope, timeoutMs, this.#limits(options))
    // A read is opened by its first statements; what goes wrong before those leaves nothing behind.
    const connection = new Connection(client, mode === 'read only' ? opening : [], check)
    try {
      if (mode === 'read write') {
        await client.query(opening.join('; '))
        // Asked for once per process, and before the first commit: after it nothing may fail any more.
        this.#systemId ??= await readSystemId(client)
      }
      const value = await work(connection)
      options.signal?.throwIfAborted()
      return value
    } catch (error) {
      if (isConnectionLoss(error) || !connection.isOpen) throw error
      try {
        await client.query('rollback')
      } catch {
        throw new LostConnection(error)
      }
      throw error
    }
  }

  #limits({ timeoutMs, isolation }: WriteOptions): TransactionLimits {
    const { idleHoldMs, lockTimeoutMs, statementTimeoutMs } = this.#options
    return {
      ...(isolation !== undefined && { isolation }),
      ...(idleHoldMs !== undefined && { idleMs: idleHoldMs + IDLE_GRACE_MS }),
      ...(timeoutMs === undefined &&
        lockTimeoutMs !== undefined && { lockMs: Math.min(lockTimeoutMs, statementTimeoutMs) }),
    }
  }

  /** Writes the commit marker, commits and reads the position, in one round trip with a deadline. */
  async #commit(client: pg.PoolClient, marker: string, value: unknown): Promise<Position> {
    const statements = `insert into nomaly.commit_markers (marker) values ('${marker}'); commit; ${POSITION_QUERY}`
    try {
      const results = await sendCommit(client, statements, this.#options.commitTimeoutMs)
      return toPosition((results.at(-1) as pg.QueryResult<PositionRow>).rows[0]!, this.#systemId ?? '0')
    } catch (error) {
      // From here it cannot be told which of the three failed, or whether the server heard of them at all.
      this.#broken.add(client)
      if (error instanceof UnreplicatedCommit) throw notReplicated(error)
      throw new UncertainCommit(value, error)
    }
  }
}
