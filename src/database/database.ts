import { randomUUID } from 'node:crypto'
import pg from 'pg'
import type { TenantScope } from '../access/tenant-scope.ts'
import { NomalyError } from '../errors.ts'
import { Connection, type DatabaseRole, openingStatements } from './connection.ts'
import { isConnectionLoss, toNomalyError } from './database-errors.ts'
import type { Committed, Freshness, Position } from './position.ts'

export interface DatabaseOptions {
  readonly url: string
  /** Shown in `pg_stat_activity`. */
  readonly applicationName: string
  readonly maxConnections: number
  /** How long a caller waits for a free connection before it is told that the database is busy. */
  readonly acquireTimeoutMs: number
  readonly statementTimeoutMs: number
  /** How long COMMIT may take before its outcome is looked up on another connection. */
  readonly commitTimeoutMs: number
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
  "select pg_current_wal_insert_lsn()::text as lsn, substr(pg_walfile_name(pg_current_wal_insert_lsn()), 1, 8) as timeline"

/** A pool of connections to one PostgreSQL database, and what makes its transactions safe to acknowledge. */
export class Database implements AsyncDisposable {
  readonly #pool: pg.Pool
  readonly #options: DatabaseOptions
  /** Clients whose state is unknown: closed, not reused, when they come back. */
  readonly #broken = new WeakSet<pg.PoolClient>()
  #systemId: string | undefined

  constructor(options: DatabaseOptions) {
    this.#options = options
    this.#pool = new pg.Pool({
      connectionString: options.url,
      application_name: options.applicationName,
      max: options.maxConnections,
      idleTimeoutMillis: 60_000,
      connectionTimeoutMillis: options.acquireTimeoutMs,
      maxLifetimeSeconds: 3600,
      keepAlive: true,
    })
    // An idle connection that breaks is replaced at the next use; without a listener it would end the process.
    this.#pool.on('error', (error) => options.log(`An idle database connection broke: ${error.message}`))
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
    return this.#withClient(options, async (client, stopCancelling) => {
      await client.query(this.#opening('read write', options))
      const value = await this.#rollingBack(client, () => work(new Connection(client)))
      options.signal?.throwIfAborted()
      // A commit that has begun is finished: cancelled half-way, its outcome would have to be guessed.
      stopCancelling()
      return { value, position: await this.#commit(client, marker) }
    })
  }

  /** Runs `work` in one read-only transaction that sees one snapshot throughout. */
  async read<T>(options: ReadOptions, work: (connection: Connection) => Promise<T>): Promise<T> {
    return this.#withClient(options, async (client) => {
      await client.query(this.#opening('read only', options))
      const value = await this.#rollingBack(client, () => work(new Connection(client)))
      await client.query('commit')
      return value
    })
  }

  /** The position of the newest write, for readers that want to see everything so far. */
  async position(): Promise<Position> {
    return this.#withClient({ role: 'nomaly_system' }, async (client) => {
      const result = await client.query<PositionRow>(POSITION_QUERY)
      return this.#toPosition(client, result.rows[0]!)
    })
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#pool.end()
  }

  #opening(mode: 'read write' | 'read only', options: TransactionOptions): string {
    return openingStatements(mode, options.role, options.scope, options.timeoutMs ?? this.#options.statementTimeoutMs)
  }

  async #withClient<T>(
    options: TransactionOptions,
    work: (client: pg.PoolClient, stopCancelling: () => void) => Promise<T>,
  ): Promise<T> {
    options.signal?.throwIfAborted()
    let client: pg.PoolClient
    try {
      client = await this.#pool.connect()
    } catch (error) {
      throw toNomalyError(error)
    }
    // A connection that breaks while it is checked out fails the query in flight; the event says nothing more.
    const onClientError = (): void => {}
    client.on('error', onClientError)
    // A connection that was told to cancel is not used again: the request may arrive late, and hit somebody else's statement.
    const cancel = (): void => {
      this.#broken.add(client)
      void this.#cancelQueryOf(client)
    }
    const stopCancelling = (): void => options.signal?.removeEventListener('abort', cancel)
    options.signal?.addEventListener('abort', cancel, { once: true })
    try {
      return await work(client, stopCancelling)
    } catch (error) {
      if (isConnectionLoss(error) || error instanceof LostConnection) this.#broken.add(client)
      if (options.signal?.aborted === true) throw options.signal.reason
      throw toNomalyError(error instanceof LostConnection ? error.cause : error)
    } finally {
      stopCancelling()
      client.off('error', onClientError)
      client.release(this.#broken.has(client))
    }
  }

  async #rollingBack<T>(client: pg.PoolClient, work: () => Promise<T>): Promise<T> {
    try {
      return await work()
    } catch (error) {
      if (isConnectionLoss(error)) throw error
      try {
        await client.query('rollback')
      } catch {
        throw new LostConnection(error)
      }
      throw error
    }
  }

  /** Writes the commit marker, commits and reads the position, in one round trip with a deadline. */
  async #commit(client: pg.PoolClient, marker: string): Promise<Position> {
    const statement = `insert into nomaly.commit_markers (marker) values ('${marker}'); commit; ${POSITION_QUERY}`
    try {
      const results = (await withDeadline(
        client.query(statement) as unknown as Promise<pg.QueryResult[]>,
        this.#options.commitTimeoutMs,
      )) as pg.QueryResult<PositionRow>[]
      return await this.#toPosition(client, results.at(-1)!.rows[0]!)
    } catch (error) {
      if (!isConnectionLoss(error) && !(error instanceof CommitDeadline)) {
        // Refused by the server, a deferred constraint for instance: nothing was committed.
        await client.query('rollback').catch(() => {})
        throw error
      }
      this.#broken.add(client)
      return this.#resolveOutcome(marker, error)
    }
  }

  /**
   * Finds out whether the transaction that wrote `marker` committed, on another connection: inserting the same marker waits for a
   * transaction still in progress, succeeds only where it was not committed, and then keeps it from ever committing.
   */
  async #resolveOutcome(marker: string, cause: unknown): Promise<Position> {
    for (let attempt = 0; attempt < 5; attempt++) {
      try {
        const inserted = await this.#withClient({ role: 'nomaly_system' }, async (client) => {
          await client.query(openingStatements('read write', 'nomaly_system', undefined, 10_000))
          const result = await client.query(
            'insert into nomaly.commit_markers (marker) values ($1) on conflict do nothing',
            [marker],
          )
          await client.query('commit')
          return result.rowCount === 1
        })
        if (inserted)
          throw new NomalyError('unavailable', 'The database went away before the write was committed.', {
            hint: 'Nothing was stored. Send it again.',
            retryAfterSeconds: 1,
            cause,
          })
        return await this.position()
      } catch (error) {
        if (error instanceof NomalyError && error.hint?.startsWith('Nothing was stored')) throw error
        await new Promise((resolve) => setTimeout(resolve, 200 * 2 ** attempt * (0.5 + Math.random())))
      }
    }
    throw new NomalyError('unknown_outcome', 'The database went away during the commit; whether it was stored is unknown.', {
      hint: 'Send it again: writes that may be repeated do no harm.',
      retryAfterSeconds: 2,
      cause,
    })
  }

  async #toPosition(client: pg.PoolClient, row: PositionRow): Promise<Position> {
    if (this.#systemId === undefined) {
      const result = await client.query<{ id: string }>(
        'select system_identifier::text as id from pg_control_system()',
      )
      this.#systemId = result.rows[0]!.id
    }
    return { systemId: this.#systemId, timeline: Number.parseInt(row.timeline, 16), lsn: row.lsn }
  }

  async #cancelQueryOf(client: pg.PoolClient): Promise<void> {
    const { processID } = client as unknown as { processID: number }
    // Through a connection of its own: the pool may be the very thing that is exhausted.
    const canceller = new pg.Client({ connectionString: this.#options.url, connectionTimeoutMillis: 5_000 })
    canceller.on('error', () => {})
    try {
      await canceller.connect()
      await canceller.query('select pg_cancel_backend($1)', [processID])
    } catch {
      // The statement timeout ends the query in any case.
    } finally {
      await canceller.end().catch(() => {})
    }
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

class CommitDeadline extends Error {}

async function withDeadline<T>(promise: Promise<T>, timeoutMs: number): Promise<T> {
  let timer: NodeJS.Timeout | undefined
  const deadline = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new CommitDeadline('commit took too long')), timeoutMs)
  })
  try {
    return await Promise.race([promise, deadline])
  } finally {
    clearTimeout(timer)
  }
}
