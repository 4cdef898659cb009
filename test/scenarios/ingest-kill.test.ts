import { afterAll, beforeAll, expect, test } from 'vitest'
import { migrate } from '../../src/database/migrator.ts'
import { startTestServer, type TestServer } from '../support/postgres.ts'
import { KILL_LOGIN, offersTimescale, openKillDatabase, prepareKillDatabase } from './ingest-kill-database.ts'
import { ingestPlanOf, runIngestKill } from './ingest-kill-scenario.ts'

const isLong = process.env['NOMALY_TEST_SCENARIOS'] === '1'
const seeds = Array.from({ length: isLong ? 100 : 3 }, (_, seed) => seed)

let server: TestServer

beforeAll(async () => {
  server = await startTestServer({ durable: true })
  await prepareKillDatabase(server.adminUrl, 'partitioned', (adminUrl) =>
    migrate({ adminUrl, sets: ['core', 'metrics-partitioned'], applicationLogin: KILL_LOGIN }),
  )
})

afterAll(() => server?.stop())

test.for(seeds)(
  'no acknowledged point is lost or doubled when the database is killed within a COPY (seed %i)',
  { timeout: 120_000 },
  async (seed) => {
    await using opened = await openKillDatabase(server, 'partitioned')
    await checkKill(seed, opened)
  },
)

test('the same with TimescaleDB', { timeout: 600_000 }, async ({ skip }) => {
  // A server that others use too is not ours to kill.
  skip(!(await offersTimescale(server.adminUrl)), 'skipped: this server offers no timescaledb')
  await prepareKillDatabase(server.adminUrl, 'timescale', async (adminUrl, ask) => {
    await ask('create extension timescaledb')
    const sets = ['core', 'metrics-partitioned', 'metrics-timescale'] as const
    await migrate({ adminUrl, sets: [...sets], applicationLogin: KILL_LOGIN })
  })
  for (const seed of seeds) {
    await using opened = await openKillDatabase(server, 'timescale')
    await checkKill(seed, opened)
  }
})

async function checkKill(seed: number, opened: Parameters<typeof runIngestKill>[0]): Promise<void> {
  const startedAt = Date.now()
  const outcome = await runIngestKill(opened, ingestPlanOf(seed))
  if (isLong)
    process.stdout.write(
      `${JSON.stringify({ seed, ...outcome.report, seconds: (Date.now() - startedAt) / 1000 })}\n`,
    )
  // The kill came while rows were being copied, and appends were under way.
  expect(outcome.report.copying).toBeGreaterThan(0)
  expect(outcome.report.unacknowledged).toBeGreaterThan(0)
  // Before anything is sent again.
  expect(outcome.lost).toEqual([])
  expect(outcome.torn).toEqual([])
  expect(outcome.strange).toEqual([])
  // Afterwards.
  expect(outcome.resent).toEqual({ conflicting: 0, rejectedTotal: 0 })
  expect(outcome.stored).toEqual({ rows: outcome.expectedPoints, instants: outcome.expectedPoints })
  expect(outcome.wrongPoints).toEqual([])
  expect(outcome.latest).toEqual(outcome.expectedLatest)
  expect(outcome.sources).toEqual(outcome.expectedSources)
  for (const { actual, expected } of outcome.answers) expect(actual).toEqual(expected)
}
