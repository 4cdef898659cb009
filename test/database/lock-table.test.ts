import { afterAll, beforeAll, expect, test } from 'vitest'
import { Database } from '../../src/database/database.ts'
import { migrate } from '../../src/database/migrator.ts'
import { urlForLogin } from '../../src/operations/connection-urls.ts'
import { startTestServer, type TestServer } from '../support/postgres.ts'

const LOGIN = { name: 'nomaly_locks_test', password: 'test' }

/** More than fit beside all that 200 connections may hold. */
const TOO_MANY = 500_000

// Whoever fills the lock table fills it for everybody: a server of its own.
let server: TestServer
let database: Database

beforeAll(async () => {
  server = await startTestServer()
  await migrate({ adminUrl: server.adminUrl, sets: ['core'], applicationLogin: LOGIN })
  database = new Database({
    url: urlForLogin(server.adminUrl, LOGIN.name, LOGIN.password),
    applicationName: 'locks',
    maxConnections: 4,
    acquireTimeoutMs: 5_000,
    statementTimeoutMs: 30_000,
    commitTimeoutMs: 5_000,
    log: () => {},
  })
})

afterAll(async () => {
  await database?.[Symbol.asyncDispose]()
  await server?.stop()
})

test('a lock table that is full is a passing shortage, and says what would make room', async () => {
  const options = { role: 'nomaly_system', freshness: 'latest' } as const
  const lock = database.read(options, (connection) =>
    connection.query(`select count(pg_advisory_xact_lock_shared(n)) from generate_series(1, ${TOO_MANY}) n`),
  )
  await expect(lock).rejects.toMatchObject({
    code: 'overloaded',
    hint: expect.stringContaining('max_locks_per_transaction'),
    retryAfterSeconds: 2,
  })
  expect(await database.read(options, (connection) => connection.query('select 1 as one'))).toEqual([
    { one: 1 },
  ])
})
