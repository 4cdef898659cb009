import { randomUUID } from 'node:crypto'
import pg from 'pg'
import { onTestFinished } from 'vitest'
import { Identities } from '../../src/access/identities.ts'
import type { Config } from '../../src/config/profiles.ts'
import { Database } from '../../src/database/database.ts'
import { PostgresNotifier } from '../../src/notifications/postgres-notifier.ts'
import type { QuickTier } from '../../src/store/open-quick-tier.ts'
import { openSessions } from '../../src/store/open-quick-tier.ts'
import type { Authenticated, Sessions } from '../../src/sessions/sessions.ts'
import { createMigratedDatabase, testConfig } from '../support/nomaly.ts'

/** A clock that tests set. */
export interface TestClock {
  nowMs: number
  /** Moves on, in milliseconds. */
  pass(ms: number): void
}

/** Sessions on a database of a test's own, as several processes have them. */
export interface SessionsFixture {
  readonly clock: TestClock
  readonly database: Database
  readonly databaseUrl: string
  readonly tenantId: string
  /** Two keys of the tenant, and one of another. */
  readonly keys: readonly [string, string]
  readonly other: { readonly tenantId: string; readonly keyId: string }
  readonly log: string[]
  /** One more process. */
  readonly open: (config?: Partial<Config>, url?: string) => Promise<Sessions>
  /** Signs a browser in, and answers its secret. */
  readonly signIn: (
    sessions: Sessions,
    options?: { keyId?: string | undefined; tenantId?: string; former?: string; userAgent?: string },
  ) => Promise<string>
  readonly admin: <Row extends pg.QueryResultRow>(text: string, values?: unknown[]) => Promise<Row[]>
}

export async function openSessionsFixture(
  openTier: (prefix: string) => Promise<QuickTier | undefined>,
  changes: Partial<Config> = {},
): Promise<SessionsFixture> {
  const { database: testDatabase, databaseUrl } = await createMigratedDatabase()
  onTestFinished(() => testDatabase.drop())
  const log: string[] = []
  const openDatabase = (url = databaseUrl): Database => {
    const database = new Database({
      url,
      applicationName: 'sessions test',
      maxConnections: 4,
      acquireTimeoutMs: 5_000,
      statementTimeoutMs: 10_000,
      commitTimeoutMs: 5_000,
      log: (message) => log.push(message),
    })
    onTestFinished(() => database[Symbol.asyncDispose]())
    return database
  }
  const database = openDatabase()
  const identities = new Identities(database, () => {})
  const client = new pg.Client({ connectionString: testDatabase.adminUrl })
  await client.connect()
  onTestFinished(() => client.end())
  const admin: SessionsFixture['admin'] = async (text, values) => (await client.query(text, values)).rows
  const [tenant, otherTenant] = await admin<{ id: string }>(
    `insert into nomaly.tenants (name) values ('tenant'), ('other') returning id`,
  )
  const keyRows = await admin<{ id: string }>(
    `insert into nomaly.api_keys (tenant_id, name, role, key_hash, prefix)
     values ($1, 'one', 'admin', 'a', 'a'), ($1, 'two', 'viewer', 'b', 'b'), ($2, 'else', 'admin', 'c', 'c') returning id`,
    [tenant!.id, otherTenant!.id],
  )
  const clock: TestClock = {
    nowMs: Date.now(),
    pass(ms) {
      this.nowMs += ms
    },
  }
  const prefix = `test-${randomUUID()}:`
  return {
    clock,
    database,
    databaseUrl,
    tenantId: tenant!.id,
    keys: [keyRows[0]!.id, keyRows[1]!.id],
    other: { tenantId: otherTenant!.id, keyId: keyRows[2]!.id },
    log,
    admin,
    open: async (config, url = databaseUrl) => {
      const tier = await openTier(prefix)
      if (tier !== undefined) onTestFinished(() => tier[Symbol.asyncDispose]())
      const notifier = await PostgresNotifier.connect(url, () => {})
      onTestFinished(() => notifier[Symbol.asyncDispose]())
      return openSessions({
        config: { ...testConfig(changes), ...config },
        database: openDatabase(url),
        notifier,
        quickTier: tier,
        log: (message) => log.push(message),
        now: () => clock.nowMs,
      })
    },
    signIn: async (sessions, { keyId, tenantId = tenant!.id, former, userAgent } = {}) => {
      const link = await identities.createSignInToken({ tenantId }, 'admin', keyId)
      return (await sessions.signIn(link, { userAgent, former })).secret
    },
  }
}

/** What a secret is answered with, as the API asks: with a new one where it is time. */
export async function ask(
  sessions: Sessions,
  secret: string,
): Promise<{ readonly found: Authenticated | undefined; readonly next: string | undefined }> {
  const found = await sessions.authenticate(secret)
  return { found, next: (await found?.renew())?.secret }
}
