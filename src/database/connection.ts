import { Kysely, PostgresDialect } from 'kysely'
import type pg from 'pg'
import type { TenantScope } from '../access/tenant-scope.ts'
import { NomalyError } from '../errors.ts'
import type { DB as CoreTables } from './core-tables.ts'

/** The two roles that statements run under: bound by row-level security, and the system's own with explicit policies. */
export type DatabaseRole = 'nomaly_app' | 'nomaly_system'

/** One connection inside one open transaction. */
export class Connection {
  /** For COPY streams and cursors; everything else goes through {@link query} or {@link kysely}. */
  readonly client: pg.PoolClient
  #kysely: Kysely<CoreTables> | undefined

  constructor(client: pg.PoolClient) {
    this.client = client
  }

  /** Runs one statement; int8 and numeric columns arrive as text, float8 and int4 as numbers. */
  async query<Row extends pg.QueryResultRow>(text: string, values?: readonly unknown[]): Promise<Row[]> {
    const result = await this.client.query<Row>(text, values as unknown[] | undefined)
    return result.rows
  }

  /** Changes the role for the rest of the transaction. */
  async become(role: DatabaseRole): Promise<void> {
    await this.client.query(`set local role ${role}`)
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
          connect: async () => ({
            query: this.client.query.bind(this.client),
            release: () => {},
          }),
          end: async () => {},
          options: {},
        },
      }),
    }).withSchema('nomaly')
    return this.#kysely
  }
}

const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/

/**
 * The statements that open a transaction under a role and a tenant, in one round trip.
 * The tenant is checked to be a UUID: `set local` takes no parameters.
 */
export function openingStatements(
  mode: 'read write' | 'read only',
  role: DatabaseRole,
  scope: TenantScope | undefined,
  statementTimeoutMs: number,
): string {
  if (scope !== undefined && !UUID.test(scope.tenantId))
    throw new NomalyError('internal', 'A tenant id that is not a UUID reached the database layer.')
  // A read sees one snapshot throughout; a write sees what others committed, and locks what it changes.
  const isolation = mode === 'read only' ? 'repeatable read' : 'read committed'
  return [
    `begin isolation level ${isolation} ${mode}`,
    `set local role ${role}`,
    `set local nomaly.tenant_id = '${scope?.tenantId ?? ''}'`,
    `set local statement_timeout = ${Math.max(1, Math.round(statementTimeoutMs))}`,
    `set local idle_in_transaction_session_timeout = ${Math.max(1, Math.round(statementTimeoutMs))}`,
  ].join('; ')
}

/** Runs work on a connection: that of the open unit of work, or one of a read of its own. */
export type Executor = <T>(work: (connection: Connection) => Promise<T>) => Promise<T>
