import pg from 'pg'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { chooseMetricsEngine } from '../../src/operations/metrics-engine-choice.ts'
import { urlForLogin } from '../../src/operations/connection-urls.ts'
import { migrateInstance } from '../../src/operations/open-instance.ts'
import { createTestDatabase, type TestDatabase } from '../support/postgres.ts'
import { startTestNomaly, testConfig } from '../support/nomaly.ts'
import { openStore } from '../../src/store/open-store.ts'
import { isTimescaleOffered } from './timescale-fixture.ts'

const LOGIN = { name: 'nomaly_choice_test', password: 'test' }

let database: TestDatabase
const logged: string[] = []

beforeEach(async () => {
  database = await createTestDatabase()
  logged.length = 0
})

afterEach(() => database.drop())

function migrated(wanted: 'auto' | 'timescale' | 'partitioned') {
  return migrateInstance({ adminUrl: database.adminUrl, applicationLogin: LOGIN }, wanted, (message) =>
    logged.push(message),
  )
}

async function openedEngine(): Promise<string> {
  const url = urlForLogin(database.adminUrl, LOGIN.name, LOGIN.password)
  await using store = await openStore(testConfig(), url, () => {})
  return store.metrics.name
}

async function asAdmin(statement: string): Promise<pg.QueryResult> {
  const client = new pg.Client({ connectionString: database.adminUrl })
  await client.connect()
  try {
    return await client.query(statement)
  } finally {
    await client.end()
  }
}

const STORE_SOMETHING = 'insert into metrics.latest_points (series_id) values (1)'

const isOffered = await isTimescaleOffered()

describe.skipIf(!isOffered)(
  `choice of engine${isOffered ? '' : ' (skipped: this server offers no timescaledb)'}`,
  () => {
    test('takes TimescaleDB where it is offered, and stays with it', async () => {
      expect((await migrated('auto')).applied).toContain('metrics-timescale/0001_create_hypertables')
      expect(await openedEngine()).toBe('timescale')
      expect((await migrated('auto')).applied).toEqual([])
      expect((await migrated('timescale')).applied).toEqual([])
      await expect(migrated('partitioned')).rejects.toMatchObject({
        code: 'conflict',
        hint: expect.stringContaining('no metrics yet'),
      })
      expect(await openedEngine()).toBe('timescale')
      // Of the choice; on how large the server's tables are it may well have advice.
      expect(logged.filter((message) => !message.includes('max_locks_per_transaction'))).toEqual([])
    })

    test('stays with partitions that have metrics, and only with those', async () => {
      await migrated('partitioned')
      expect(await openedEngine()).toBe('partitioned')
      await asAdmin(STORE_SOMETHING)
      await migrated('auto')
      expect(await openedEngine()).toBe('partitioned')
      await expect(migrated('timescale')).rejects.toMatchObject({ code: 'conflict' })
      await asAdmin('truncate metrics.latest_points')
      await migrated('timescale')
      expect(await openedEngine()).toBe('timescale')
    })

    test('says what is missing where the extension cannot be made, and leaves nothing behind', async () => {
      const name = 'nomaly_choice_owner'
      await asAdmin(`do $$ begin
        if not exists (select from pg_roles where rolname = '${name}') then create role ${name} login createrole password 'test'; end if;
      end $$`)
      // The database is somebody else's, and extensions are made by its owner only.
      const adminUrl = urlForLogin(database.adminUrl, name, 'test')
      await expect(chooseMetricsEngine(adminUrl, 'timescale')).rejects.toMatchObject({
        code: 'invalid_input',
        message: expect.stringContaining('permission denied'),
        hint: expect.stringContaining('create extension timescaledb'),
      })
      expect(await chooseMetricsEngine(adminUrl, 'auto')).toMatchObject({
        name: 'partitioned',
        reason: expect.stringContaining('superuser'),
      })
      expect((await asAdmin("select from pg_extension where extname = 'timescaledb'")).rowCount).toBe(0)
      await asAdmin(`drop role ${name}`)
    })
  },
)

test('an installation in a test runs on the engine that is best here, or on the one asked for', async () => {
  await using nomaly = await startTestNomaly({ worker: false })
  const asked = process.env['TEST_METRICS_ENGINE'] ?? 'auto'
  const best = isOffered ? 'timescale' : 'partitioned'
  expect(nomaly.store.metrics.name).toBe(asked === 'auto' ? best : asked)
})

describe.skipIf(isOffered)(
  `choice of engine without TimescaleDB${isOffered ? ' (skipped: this server offers it)' : ''}`,
  () => {
    test('takes partitions without a word, and says why where TimescaleDB is wanted', async () => {
      await expect(migrated('timescale')).rejects.toMatchObject({
        code: 'invalid_input',
        message: expect.stringContaining('does not offer'),
        hint: expect.stringContaining('NOMALY_METRICS_ENGINE=partitioned'),
      })
      await migrated('auto')
      expect(await openedEngine()).toBe('partitioned')
      expect(logged).toEqual([])
    })
  },
)
