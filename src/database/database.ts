import { randomUUID } from 'node:crypto'
import pg from 'pg'
import type { TenantScope } from '../access/tenant-scope.ts'
import { Connection, type DatabaseRole, openingStatements } from './connection.ts'
import { cancelQuery } from './cancel-query.ts'
import { establishCommit } from './commit-outcome.ts'
import { CORE_DATABASE, type DatabaseLabel, isConnectionLoss, toNomalyError } from './database-errors.ts'
import type { Committed, Freshness, Position } from './position.ts'
import { logSlowStatements } from './slow-statements.ts'

export interface DatabaseOptions {
  readonly url: string
  /** Shown in `pg_stat_activity`. */
  readonly applicationName: string
  /** How errors name it; the core database where it is left out. */
  readonly label?: DatabaseLabel
  readonly maxConnections: number
  /** How long a caller waits for a free connection before it is told that the database is busy. */
  readonly acquireTimeoutMs: number
  readonly statementTimeoutMs: number
  /** How long COMMIT may take before its outcome is looked up on another connection. */
  readonly commitTimeoutMs: number
  /** Statements that take as long are logged; 0 turns it off. Asked anew at each statement, as the times above are. */
  readonly slowStatementMs?: number
  readonly log: (message: string) => void
}

export interface TransactionOptions {
  readonly role: DatabaseRole
  readonly scope?: TenantScope
  readonly signal?: AbortSignal | undefined
  /** Longest time of one statement; the pool's default otherwise. */
  readonly timeoutMs?: number
}

export interface ReadOptions extends TransactionOptions {
  readonly freshness: Freshness
}

const POSITION_QUERY =
  'select pg_current_wal_insert_lsn()::text as lsn, substr(pg_walfile_name(pg_current_wal_insert_lsn()), 1, 8) as timeline'

/** A pool of connections to one PostgreSQL database, and what makes its transactions safe to acknowledge. */
export class Database implements AsyncDisposable {
  readonly #pool: pg.Pool
  readonly #options: DatabaseOptions
  /** Clients whose state is unknown: closed, not reused, when they come back. */
  readonly #broken = new WeakSet<pg.PoolClient>()
  readonly #label: DatabaseLabel
  #systemId: string | undefined

  constructor(options: DatabaseOptions) {
    this.#options = options
    this.#label = options.label ?? CORE_DATABASE
    this.#pool = new pg.Pool({
      connectionString: options.url,
      application_name: options.applicationName,
      max: options.maxConnections,
      idleTimeoutMillis: 60_000,
      connectionTimeoutMillis: options.acquireTimeoutMs,
      maxLifetimeSeconds: 3600,
      keepAlive: true,
    })
    this.#pool.on('connect', (client) => logSlowStatements(client, options))
    // An idle connection that breaks is replaced at the next use; without a listener it would end the process.
    this.#pool.on('error', (error) =>
      options.log(`An idle connection to the ${this.#label.name} broke: ${error.message}`),
    )
  }

  /** Connections in the pool right now. */
  get poolUse(): { total: number; idle: number; waiting: number; max: number } {
    const { totalCount, idleCount, waitingCount } = this.#pool
    return { total: totalCount, idle: idleCount, waiting: waitingCount, max: this.#options.maxConnections }
  }

  /**
   * Runs `work` in one transaction and answers after COMMIT, with the position of the commit.
   * @throws NomalyError `unknown_outcome` when neither commit nor abort could be established.
   */
  async transaction<T>(
    options: TransactionOptions,
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

  /** Runs `work` in one read-only transaction that sees one snapshot throughout. */
  async read<T>(options: ReadOptions, work: (connection: Connection) => Promise<T>): Promise<T> {
    return this.#withClient(options, (client) =>
      this.#inTransaction(client, 'read only', options, async (connection) => {
        const value = await work(connection)
        options.signal?.throwIfAborted()
        if (connection.isOpen) await connection.batch([], 'commit')
        return value
      }),
    )
  }

  /**
   * Runs `work` on a connection outside any transaction, for statements that make transactions of their own. The connection is closed
   * afterwards, and with it goes what was locked or set.
   */
  async session<T>(options: TransactionOptions, work: (connection: Connection) => Promise<T>): Promise<T> {
    return this.#withClient(options, async (client) => {
      const timeoutMs = options.timeoutMs ?? this.#options.statementTimeoutMs
      this.#broken.add(client)
      await client.query(
        `set role ${options.role}; set statement_timeout = ${Math.max(1, Math.round(timeoutMs))}`,
      )
      return work(new Connection(client))
    })
  }

  /** The position of the newest write, for readers that want to see everything so far. */
  async position(): Promise<Position> {
    return this.#withClient({ role: 'nomaly_system' }, async (client) => {
      this.#systemId ??= await readSystemId(client)
      const result = await client.query<PositionRow>(POSITION_QUERY)
      return this.#toPosition(result.rows[0]!)
    })
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#pool.end()
  }

  async #withClient<T>(
    options: TransactionOptions,
    work: (client: pg.PoolClient, stopCancelling: () => void) => Promise<T>,
  ): Promise<T> {
    options.signal?.throwIfAborted()
    const client = await this.#acquire(options.signal)
    // A connection that breaks while it is checked out fails the query in flight; the event says nothing more.
    const onClientError = (): void => {}
    client.on('error', onClientError)
    // A connection that was told to cancel is not used again: the request may arrive late, and hit somebody else's statement.
    const cancel = (): void => {
      this.#broken.add(client)
      void cancelQuery(this.#options.url, client)
    }
    const stopCancelling = (): void => options.signal?.removeEventListener('abort', cancel)
    options.signal?.addEventListener('abort', cancel, { once: true })
    try {
      return await work(client, stopCancelling)
    } catch (error) {
      if (isConnectionLoss(error) || error instanceof LostConnection) this.#broken.add(client)
      if (error instanceof UncertainCommit) throw error
      if (options.signal?.aborted === true) throw options.signal.reason
      throw toNomalyError(error instanceof LostConnection ? error.cause : error, this.#label)
    } finally {
      stopCancelling()
      client.off('error', onClientError)
      // Whatever went wrong above: no connection goes back into the pool inside a transaction.
      client.release(this.#broken.has(client) || client.getTransactionStatus() !== 'I')
    }
  }

  /** Waits for a connection; one that comes after the caller has given up goes straight back. */
  async #acquire(signal: AbortSignal | undefined): Promise<pg.PoolClient> {
    const connecting = this.#pool.connect()
    const abandoned = Promise.withResolvers<never>()
    const abandon = (): void => abandoned.reject(signal?.reason)
    signal?.addEventListener('abort', abandon, { once: true })
    try {
      return await Promise.race([connecting, abandoned.promise])
    } catch (error) {
      connecting.then(
        (client) => client.release(),
        () => {},
      )
      throw signal?.aborted === true ? signal.reason : toNomalyError(error, this.#label)
    } finally {
      signal?.removeEventListener('abort', abandon)
    }
  }

  /** Opens a transaction and runs `work` in it; whatever fails, the transaction is over when this throws. */
  async #inTransaction<T>(
    client: pg.PoolClient,
    mode: 'read write' | 'read only',
    options: TransactionOptions,
    work: (connection: Connection) => Promise<T>,
  ): Promise<T> {
    const timeoutMs = options.timeoutMs ?? this.#options.statementTimeoutMs
    const opening = openingStatements(mode, options.role, options.scope, timeoutMs)
    // A read is opened by its first statements; what goes wrong before those leaves nothing behind.
    const connection = new Connection(client, mode === 'read only' ? opening : [])
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

  /** Writes the commit marker, commits and reads the position, in one round trip with a deadline. */
  async #commit(client: pg.PoolClient, marker: string, value: unknown): Promise<Position> {
    const statement = `insert into nomaly.commit_markers (marker) values ('${marker}'); commit; ${POSITION_QUERY}`
    try {
      const results = (await withDeadline(
        client.query(statement) as unknown as Promise<pg.QueryResult[]>,
        this.#options.commitTimeoutMs,
      )) as pg.QueryResult<PositionRow>[]
      return this.#toPosition(results.at(-1)!.rows[0]!)
    } catch (error) {
      // From here it cannot be told which of the three failed, or whether the server heard of them at all.
      this.#broken.add(client)
      throw new UncertainCommit(value, error)
    }
  }

  #toPosition(row: PositionRow): Position {
    return { systemId: this.#systemId ?? '0', timeline: Number.parseInt(row.timeline, 16), lsn: row.lsn }
  }
}

interface PositionRow {
  readonly lsn: string
  readonly timeline: string
}

/** The connection is unusable; `cause` is what the caller should hear. */
class LostConnection extends Error {
  constructor(cause: unknown) {
    super('connection lost', { cause })
  }
}

/** COMMIT was sent, and what became of it is to be found out; `value` is what the work answered. */
class UncertainCommit extends Error {
  readonly value: unknown

  constructor(value: unknown, cause: unknown) {
    super('commit outcome unknown', { cause })
    this.value = value
  }
}

async function readSystemId(client: pg.PoolClient): Promise<string> {
  const result = await client.query<{ id: string }>(
    'select system_identifier::text as id from pg_control_system()',
  )
  return result.rows[0]!.id
}

async function withDeadline<T>(promise: Promise<T>, timeoutMs: number): Promise<T> {
  let timer: NodeJS.Timeout | undefined
  const deadline = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error('the commit took longer than its limit')), timeoutMs)
  })
  try {
    return await Promise.race([promise, deadline])
  } finally {
    clearTimeout(timer)
  }
}
