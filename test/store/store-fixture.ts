import pg from 'pg'
import { onTestFinished } from 'vitest'
import type { TenantScope } from '../../src/access/tenant-scope.ts'
import { openStore } from '../../src/store/open-store.ts'
import type { Store } from '../../src/store/store.ts'
import { createMigratedDatabase, testConfig } from '../support/nomaly.ts'

/** A store on a database of its own, with one tenant, until the test ends. */
export interface StoreFixture {
  readonly store: Store
  readonly scope: TenantScope
  readonly databaseUrl: string
  /** One more store on the same database, as another process has it. */
  readonly another: () => Promise<Store>
  /** Runs statements as superuser. */
  readonly admin: <Row extends pg.QueryResultRow>(text: string, values?: unknown[]) => Promise<Row[]>
}

export async function openTestStore(): Promise<StoreFixture> {
  const { database, databaseUrl } = await createMigratedDatabase()
  onTestFinished(() => database.drop())
  const open = async (): Promise<Store> => {
    const store = await openStore(testConfig(), databaseUrl, () => {})
    onTestFinished(() => store[Symbol.asyncDispose]())
    return store
  }
  const store = await open()
  const { id: tenantId } = await store.tenants.create('tenant')
  return {
    store,
    scope: { tenantId },
    databaseUrl,
    another: open,
    admin: async <Row extends pg.QueryResultRow>(text: string, values?: unknown[]): Promise<Row[]> => {
      const client = new pg.Client({ connectionString: database.adminUrl })
      await client.connect()
      try {
        return (await client.query<Row>(text, values)).rows
      } finally {
        await client.end()
      }
    },
  }
}

/** Fails on purpose, at the end of a unit of work. */
export class Undone extends Error {}
