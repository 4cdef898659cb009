import { setTimeout as sleep } from 'node:timers/promises'
import type pg from 'pg'
import { connectClient } from '../../database/connect.ts'
import { sqlState } from '../../database/database-errors.ts'

/** Who owns what migrations made, and who works over all tenants. */
export type AdminRole = 'nomaly_owner' | 'nomaly_system'

/** Longest that one statement may take: deletions and rewriting go through whole tables. */
const STATEMENT_TIMEOUT_MS = 6 * 3_600_000

const ATTEMPTS = 5
/** Serialization failure and deadlock. */
const COLLISIONS = new Set(['40001', '40P01'])

/** A connection of an administrator's login to one database of an installation. */
export class AdminSession implements AsyncDisposable {
  readonly client: pg.Client
  readonly isSuperuser: boolean

  private constructor(client: pg.Client, isSuperuser: boolean) {
    this.client = client
    this.isSuperuser = isSuperuser
  }

  /** @throws NomalyError `unavailable`, or what the driver throws, where nobody answers there. */
  static async open(adminUrl: string): Promise<AdminSession> {
    const client = await connectClient(adminUrl, {
      application_name: 'nomaly erase',
      statement_timeout: STATEMENT_TIMEOUT_MS,
    })
    client.on('error', () => {})
    const { rows } = await client.query<{ super: boolean }>(
      'select rolsuper as super from pg_roles where rolname = current_user',
    )
    return new AdminSession(client, rows[0]!.super)
  }

  /** Rows of one statement, outside any transaction, under a role. */
  async ask<Row extends pg.QueryResultRow>(
    role: AdminRole,
    text: string,
    values: readonly unknown[] = [],
  ): Promise<Row[]> {
    return this.transaction(async (run) => {
      await run.become(role)
      return run.query<Row>(text, values)
    })
  }

  /** Runs work in one transaction, which ends with it; again where it collided with another one. */
  async transaction<T>(work: (run: AdminTransaction) => Promise<T>): Promise<T> {
    for (let attempt = 1; ; attempt++) {
      try {
        return await this.#transactionOnce(work)
      } catch (error) {
        if (attempt === ATTEMPTS || !COLLISIONS.has(sqlState(error) ?? '')) throw error
        await sleep(attempt * 100)
      }
    }
  }

  async #transactionOnce<T>(work: (run: AdminTransaction) => Promise<T>): Promise<T> {
    await this.client.query('begin')
    try {
      const value = await work(new AdminTransaction(this.client))
      await this.client.query('commit')
      return value
    } catch (error) {
      await this.client.query('rollback').catch(() => {})
      throw error
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.client.end().catch(() => {})
  }
}

/** What can be done inside one transaction of an administrator. */
export class AdminTransaction {
  readonly #client: pg.Client

  constructor(client: pg.Client) {
    this.#client = client
  }

  /** Changes the role for the rest of the transaction. */
  async become(role: AdminRole): Promise<void> {
    await this.#client.query(`set local role ${role}`)
  }

  async query<Row extends pg.QueryResultRow>(text: string, values: readonly unknown[] = []): Promise<Row[]> {
    return (await this.#client.query<Row>(text, [...values])).rows
  }

  /** How many rows a statement has changed. */
  async change(text: string, values: readonly unknown[] = []): Promise<number> {
    return (await this.#client.query(text, [...values])).rowCount ?? 0
  }
}
