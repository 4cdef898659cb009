import pg from 'pg'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { Database } from '../../../src/database/database.ts'
import {
  type OwnReader,
  readAfterPositionBefore,
  readByTimer,
  readInOneStatement,
  readOwnWrites,
  readRouted,
} from './own-reads.ts'
import { untilInRotation, useReplicas } from './replica-fixture.ts'

const fixture = useReplicas(2)
const READS = 10_000
let database: Database
let standby: pg.Pool

beforeAll(async () => {
  database = fixture.open({}, { maxConnections: 30 })
  await untilInRotation(database, 2)
  standby = new pg.Pool({ connectionString: fixture.replicas[0]!.adminUrl, max: 24 })
  standby.on('error', () => {})
})
afterAll(async () => {
  await standby.end()
  await database[Symbol.asyncDispose]()
})

test(`of ${READS} reads of what one has just written none is stale`, { timeout: 240_000 }, async () => {
  const total = await readOwnWrites({ fixture, database, reads: READS, readBack: readRouted(database) })
  expect(total.stale).toBe(0)
  expect(total.reads).toBeGreaterThanOrEqual(READS)
  // Reads of the primary alone would show nothing.
  expect(total.onStandbys).toBeGreaterThan(READS / 4)
})

describe('the same harness finds what is wrong', () => {
  const ways: Readonly<Record<string, () => OwnReader>> = {
    'a timer after which standbys are taken to have caught up': () => readByTimer(database, standby, 30),
    'a position that was taken before the commit': () => readAfterPositionBefore(database),
    'a standby that is asked in the statement that reads': () => readInOneStatement(database, standby),
  }
  test.for(Object.entries(ways))('%s', { timeout: 240_000 }, async ([, way]) => {
    const total = await readOwnWrites({
      fixture,
      database,
      readBack: way(),
      reads: 20 * READS,
      untilStale: true,
    })
    expect(total.stale).toBeGreaterThan(0)
  })
})
