import pg from 'pg'
import { describe, test } from 'vitest'
import { describeBackfills } from '../conformance/metrics-backfill.ts'
import { makePartitionedEngine } from './partitioned-fixture.ts'
import { isTimescaleOffered, makeTimescaleEngine } from './timescale-fixture.ts'

/** As `nomaly metrics` leaves it: the database says that it is this engine which keeps the points. */
async function makeChosenTimescale() {
  const fixture = await makeTimescaleEngine()
  const client = new pg.Client({ connectionString: fixture.adminUrl })
  await client.connect()
  await client.query(
    `insert into metrics.engine (name) values ('timescale') on conflict (only_row) do update set name = excluded.name`,
  )
  await client.end()
  return fixture
}

describe('backfills into partitions', () => {
  describeBackfills(makePartitionedEngine)
})

describe('backfills into hypertables', async () => {
  if (await isTimescaleOffered()) describeBackfills(makeChosenTimescale)
  else test.skip('skipped: this server offers no timescaledb', () => {})
})
