import pg from 'pg'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { migrateInstance } from '../../src/operations/open-instance.ts'
import {
  findTimescalePrograms,
  NO_TIMESCALE,
  startTimescaleServer,
  type TimescaleServer,
} from '../support/timescale-server.ts'
import { look, verdicts } from './look.ts'

const programs = await findTimescalePrograms()

describe.skipIf(programs === undefined)(
  `points in TimescaleDB${programs === undefined ? ` (${NO_TIMESCALE})` : ''}`,
  () => {
    let server: TimescaleServer

    beforeAll(async () => {
      server = await startTimescaleServer(programs!, { 'timescaledb.max_background_workers': '0' })
      await migrateInstance({ adminUrl: server.adminUrl }, 'timescale', () => {})
    })

    afterAll(() => server?.[Symbol.asyncDispose]())

    async function said(...checks: string[]): Promise<string[]> {
      return verdicts(await look(checks, { DATABASE_URL: server.adminUrl }))
    }

    async function run(...statements: string[]): Promise<void> {
      const client = new pg.Client({ connectionString: server.adminUrl })
      await client.connect()
      try {
        for (const statement of statements) await client.query(statement)
      } finally {
        await client.end()
      }
    }

    /** Starts it anew with what was set. */
    async function restart(): Promise<void> {
      await server.kill()
      await expect
        .poll(
          () =>
            run('select 1').then(
              () => true,
              () => false,
            ),
          { timeout: 20_000 },
        )
        .toBe(true)
    }

    test('its version is named, its schema compared, and its lock table found too small', async () => {
      expect(await said('extensions', 'migrations', 'locks')).toEqual([
        'migrations ok: The schema is that of this version.',
        expect.stringMatching(/^extensions ok: TimescaleDB \d+\.\d+\.\d+, loaded\.$/),
        expect.stringMatching(/^locks warn: max_locks_per_transaction is 64: room for 6400 locks\.$/),
      ])
    })

    test('background jobs that fail are counted', async () => {
      await run(
        `create procedure fails(job_id int, config jsonb) language plpgsql as $$ begin raise 'on purpose'; end $$`,
        `select add_job('fails', '1 day')`,
      )
      await run('alter system set timescaledb.max_background_workers = 8')
      await restart()
      await expect
        .poll(() => said('extensions'), { timeout: 20_000, interval: 500 })
        // Some of its own jobs fail on some versions, too.
        .toContainEqual(
          expect.stringMatching(/^extensions warn: \d background jobs? of TimescaleDB failed last\.$/),
        )
    })

    test('an extension that is not loaded fails', async () => {
      await run('alter system reset shared_preload_libraries')
      await restart()
      expect(await said('extensions')).toContainEqual(
        expect.stringMatching(/^extensions fail: TimescaleDB \d+\.\d+\.\d+ is not loaded\.$/),
      )
    })
  },
)
