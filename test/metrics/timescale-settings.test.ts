import pg from 'pg'
import { afterEach, describe, expect, onTestFinished, test } from 'vitest'
import { chooseMetricsEngine } from '../../src/operations/metrics-engine-choice.ts'
import { migrateInstance } from '../../src/operations/open-instance.ts'
import { findTimescalePrograms, NO_TIMESCALE, startTimescaleServer } from '../support/timescale-server.ts'

const programs = await findTimescalePrograms()
const logged: string[] = []

afterEach(() => void (logged.length = 0))

async function startServer(settings: Readonly<Record<string, string>>): Promise<string> {
  const server = await startTimescaleServer(programs!, { fsync: 'off', ...settings })
  onTestFinished(() => server[Symbol.asyncDispose]())
  return server.adminUrl
}

async function extensions(adminUrl: string): Promise<string[]> {
  const client = new pg.Client({ connectionString: adminUrl })
  await client.connect()
  const { rows } = await client.query<{ name: string }>('select extname as name from pg_extension')
  await client.end()
  return rows.map(({ name }) => name)
}

describe.skipIf(programs === undefined)(
  `a server of the user’s own with TimescaleDB${programs === undefined ? ` (${NO_TIMESCALE})` : ''}`,
  () => {
    test('of the Apache edition is used as plain PostgreSQL, and says what it lacks', async () => {
      const adminUrl = await startServer({ 'timescaledb.license': 'apache' })
      await expect(chooseMetricsEngine(adminUrl, 'timescale')).rejects.toMatchObject({
        code: 'invalid_input',
        message: expect.stringContaining('Apache edition'),
        hint: expect.stringContaining('timescaledb.license'),
      })
      const { applied } = await migrateInstance({ adminUrl }, 'auto', (message) => logged.push(message))
      expect(applied.filter((name) => name.startsWith('metrics-timescale'))).toEqual([])
      expect(logged).toEqual([
        expect.stringMatching(/^Metrics are kept in plain PostgreSQL: .*Apache edition.*columnstore/),
      ])
      expect(await extensions(adminUrl)).not.toContain('timescaledb')
    })

    test('that has not loaded it is used as plain PostgreSQL, and says how to load it', async () => {
      const adminUrl = await startServer({ shared_preload_libraries: '' })
      await migrateInstance({ adminUrl }, 'auto', (message) => logged.push(message))
      expect(logged).toEqual([expect.stringMatching(/has not loaded it.*shared_preload_libraries/)])
    })

    test.for([
      { locks: '64', says: [expect.stringMatching(/max_locks_per_transaction .* is 64.*512 or more/)] },
      { locks: '512', says: [] },
    ])('with room for $locks locks a transaction says what is too few', async ({ locks, says }) => {
      const adminUrl = await startServer({ max_locks_per_transaction: locks })
      await migrateInstance({ adminUrl }, 'auto', (message) => logged.push(message))
      expect(await extensions(adminUrl)).toContain('timescaledb')
      expect(logged).toEqual(says)
    })
  },
)
