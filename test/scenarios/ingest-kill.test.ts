import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { startTestServer } from '../support/postgres.ts'
import { findTimescalePrograms, NO_TIMESCALE, startTimescaleServer } from '../support/timescale-server.ts'
import {
  type EngineName,
  type KillableServer,
  openKillDatabase,
  prepareKillDatabase,
  readSetting,
} from './ingest-kill-database.ts'
import { ingestPlanOf, runIngestKill } from './ingest-kill-scenario.ts'

const isLong = process.env['NOMALY_TEST_SCENARIOS'] === '1'
const seeds = Array.from({ length: isLong ? 100 : 3 }, (_, seed) => seed)

// A server that others use too is not ours to kill: each engine has one of its own here.
describeIngestKill('partitioned', () => startTestServer({ durable: true }))

const timescale = await findTimescalePrograms()
if (timescale === undefined)
  describe('kills of the database with timescale', () => {
    test.skip(NO_TIMESCALE, () => {})
  })
else describeIngestKill('timescale', () => startTimescaleServer(timescale))

function describeIngestKill(name: EngineName, start: () => Promise<KillableServer & AsyncDisposable>): void {
  describe(`kills of the database with ${name}`, () => {
    let server: KillableServer & AsyncDisposable

    beforeAll(async () => {
      server = await start()
      // Without them a kill proves little.
      for (const setting of ['fsync', 'full_page_writes', 'synchronous_commit'])
        expect(await readSetting(server.adminUrl, setting)).toBe('on')
      await prepareKillDatabase(server.adminUrl, name)
    })

    afterAll(() => server?.[Symbol.asyncDispose]())

    test.for(seeds)(
      'within a COPY lose and double no acknowledged point (seed %i)',
      // A hundred run beside other work, which may keep a server from coming back for minutes.
      { timeout: isLong ? 600_000 : 120_000 },
      async (seed) => {
        await using opened = await openKillDatabase(server, name)
        await checkKill(name, seed, opened)
      },
    )
  })
}

async function checkKill(
  engine: EngineName,
  seed: number,
  opened: Parameters<typeof runIngestKill>[0],
): Promise<void> {
  const startedAt = Date.now()
  const outcome = await runIngestKill(opened, ingestPlanOf(seed))
  if (isLong)
    process.stdout.write(
      `${JSON.stringify({ engine, seed, ...outcome.report, seconds: (Date.now() - startedAt) / 1000 })}\n`,
    )
  // The kill came while rows were being copied, and appends were under way.
  expect(outcome.report.copying).toBeGreaterThan(0)
  expect(outcome.report.underWay).toBeGreaterThan(0)
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
